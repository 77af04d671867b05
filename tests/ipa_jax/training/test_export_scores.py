"""The figures of exports as text; `tests/cli/test_evaluate.py` has the figures themselves."""

from ipa_jax.training.export_scores import lines


def test_every_table_has_its_counts_and_metrics():
    table = {"images": 9, "groups": 3, "pairs": 7, "accuracy": 0.75, "accuracy_interval": [0.5, 1], "srcc": 0.5,
             "interval_over": "groups"}  # fmt: skip
    posts = {"pooled": "mean", **table, "images": 4}
    cost = {"accuracy": -0.01, "largest_z": 0.125}
    assert lines(table | {"posts": posts, "bfloat16_minus_float32": cost}, "test") == [
        "test: 9 images, 3 groups, 7 valid pairs",
        "  Accuracy 75.00 % (95 %: 50.00 to 100.00, over groups)",
        "  SRCC 0.5000",
        "test: 4 posts (z: mean of their images), 3 groups, 7 valid pairs",
        "  Accuracy 75.00 % (95 %: 50.00 to 100.00, over groups)",
        "  SRCC 0.5000",
        "  bfloat16 against float32: accuracy -0.0100, z by at most 0.1250",
    ]
