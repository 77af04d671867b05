"""The report's tables: pooled sizes, the best of each metric, what differs from full.py, any JSON as rows."""

import json

import pytest

from configs import full
from ipa_jax.metrics.registry import METRICS
from ipa_jax.report import tables


def test_group_sizes_are_pooled_by_pairs():
    """Sizes 5 and 6: (0.5 * 1 + 0.9 * 3) / 4 = 0.8 over pairs."""
    sizes = {
        "5": {"accuracy": 0.5, "pairs": 1, "groups": 2, "plcc": 0.0, "srcc": 0.2},
        "6": {"accuracy": 0.9, "pairs": 3, "groups": 1, "plcc": 0.0, "srcc": 0.5},
        "9": {"accuracy": None, "pairs": 0, "groups": 1, "plcc": 0.0, "srcc": 0.0},
    }
    (row,) = tables.size_rows({"run": {"by_group_size": sizes}})
    assert row["label"] == "5-6 images" and row["pairs"] == 4
    assert row["accuracy"] == pytest.approx([0.8])


def test_best_of_each_metric_and_its_direction():
    results = {
        "a": {"accuracy": 0.8, "accuracy_interval": [0.75, 0.85], "ratio_mse": 1.5},
        "b": {"accuracy": 0.7, "accuracy_interval": None, "ratio_mse": 1.2},
    }
    rows = [dict(zip(METRICS, row["cells"], strict=True)) for row in tables.metric_rows(results)]
    assert rows[0]["accuracy"] == {"value": "80.00 %", "interval": "75.00 to 85.00", "best": True}
    assert [row["ratio_mse"]["best"] for row in rows] == [False, True]
    assert rows[1]["plcc"] == {"value": "", "interval": "", "best": False}


def test_scale_reaches_what_lies_below_chance():
    assert tables.axis([0.6, 0.957]) == (0.5, 1.0)
    assert tables.axis([0.48, 0.9]) == (0.45, 1.0)


def test_fields_show_what_differs_from_full():
    default = full.get_config().to_dict()
    ours = json.loads(json.dumps(default))
    ours["data"]["memory"]["exclude"] = "post"
    assert tables.field_rows(default, {"a": json.loads(json.dumps(default))}) == []  # tuples and lists are alike
    (row,) = tables.field_rows(default, {"a": ours, "b": json.loads(json.dumps(default))})
    assert (row["field"], row["default"], row["shared"]) == ("data.memory.exclude", "group", False)
    assert row["values"] == [{"value": "post", "differs": True}, {"value": "group", "differs": False}]


def test_any_json_becomes_tables():
    made = tables.blocks(
        {
            "posts": 1200,
            "share": 0.25,
            "none": [],
            "splits": {
                "train": {"images": 3, "paper": {"images": 569151}},
                "test": {"images": 1, "paper": {"images": 71948}},
            },
            "near": [{"test": "a", "bits": 2}],
            "examples": {"video": ["x", "y"]},
            "deep": {"er": {"a": True}},
        }
    )
    assert [(block["title"], block["head"], block["rows"]) for block in made] == [
        ("", [], [["posts", "1,200"], ["share", "0.25"], ["none", "none"]]),
        (
            "splits",
            ["", "images"],
            [["train", "3"], ["train, paper", "569,151"], ["test", "1"], ["test, paper", "71,948"]],
        ),
        ("near", ["test", "bits"], [["a", "2"]]),
        ("examples", [], [["video", "x, y"]]),
        ("deep: er", [], [["a", "yes"]]),
    ]
    (long,) = tables.blocks({"rows": [{"i": i} for i in range(100)]})
    assert len(long["rows"]) == 24 and long["more"] == 76
