"""What a finished run adds to the checklist: it is judged on test, chose on validation, and reads nothing of later.

"Later" is whatever nobody has before posting: likes and comments.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipa_jax.input.texts import UNKNOWN
from ipa_jax.leakage.checks import FEATURE_SELECTION, ILLEGITIMATE, NO_TEST_SET, Added

if TYPE_CHECKING:
    from data_builders.dataset import GroupDataset
    from ipa_jax.input.texts import Vocabulary

GROUPS = 32  # of test, whose inputs are read again
LINES, WORDS = 40, 8  # of comments put in place of a post's own: lines at most, words each
LABELS = ("log_likes", "pair_weight", "image_weight", "quantile", "record", "position")  # of a batch, for the loss
CLOSE = 1e-6
SEED = 0


def check(workdir: Path, data_dir: Path | str) -> Added:
    """What the run in a workdir adds to the lines.

    Raises FileNotFoundError for a workdir of no finished run.
    """
    from data_builders.dataset import GroupDataset
    from ipa_jax.training.export import load_config

    if not (workdir / "results.json").is_file():
        raise FileNotFoundError(f"{workdir}/results.json: --workdir must name the folder of a finished run")
    results = json.loads((workdir / "results.json").read_text())
    config = load_config(workdir / "export" / "config.json")
    test, validation = (GroupDataset(data_dir, name) for name in ("test", "validation"))
    return {
        NO_TEST_SET: (
            judged(workdir, results, test),
            "the run's scores are those of the test images, its figures theirs",
        ),
        FEATURE_SELECTION: (
            chosen(workdir, results, validation),
            f"the kept step {results['best_step']} is the best on validation, the factor on z fits validation",
        ),
        ILLEGITIMATE: (
            reads_the_future(test, config, workdir / "export"),
            "the network's inputs stay the same to the last bit when likes and comments are changed",
        ),
    }


def judged(workdir: Path, results: Mapping[str, Any], test: "GroupDataset") -> list[str]:
    """Faults of the stored test scores: other images than test holds, or figures that they do not give."""
    import polars as pl

    from ipa_jax.metrics.split_metrics import evaluate

    scores = pl.read_parquet(workdir / "scores-test.parquet")
    keys = ["account", "image_id", "post_id", "likes"]
    if sorted(scores.select(keys).rows()) != sorted(test.images.select(keys).rows()):
        return ["the run's test scores are of other images than the test split holds"]
    accuracy = evaluate(scores, test.options["pairs"]["min_ratio"], draws=0)["accuracy"]
    told = results["test"]["accuracy"]
    return (
        [] if abs(accuracy - told) < CLOSE else [f"the run tells accuracy {told:.4f}, its scores give {accuracy:.4f}"]
    )


def chosen(workdir: Path, results: Mapping[str, Any], validation: "GroupDataset") -> list[str]:
    """Faults of what was chosen: a step, or a factor on z, that validation does not give."""
    import polars as pl

    from ipa_jax.metrics.split_metrics import rescale_factor

    faults = []
    scores = pl.read_parquet(workdir / "scores-validation.parquet")
    if sorted(scores["image_id"]) != sorted(validation.images["image_id"]):
        faults.append("the run's validation scores are of other images than the validation split holds")
    factor = rescale_factor(scores, validation.options["pairs"]["min_ratio"])
    if not np.isclose(factor, results["test"]["rescale_factor"], rtol=1e-4):
        faults.append(f"z is rescaled by {results['test']['rescale_factor']:.4f}, validation gives {factor:.4f}")
    lines = [json.loads(line) for line in _log(workdir)]
    curve = [
        (line["scalars"]["validation/accuracy"], line["step"])
        for line in lines
        if "validation/accuracy" in line.get("scalars", {})
    ]
    if curve:
        best = max(accuracy for accuracy, _ in curve)
        kept = dict((step, accuracy) for accuracy, step in curve).get(results["best_step"])
        if kept is None or kept < best - CLOSE:
            faults.append(f"step {results['best_step']} was kept, which is not the best on validation")
    early = [
        line["step"]
        for line in lines
        if any(name.startswith("test/") for name in line.get("scalars", {})) and line["step"] < results["steps"]
    ]
    if early:
        faults.append(f"test figures were looked at during training, at step {early[0]}")
    return faults


def _log(workdir: Path) -> list[str]:
    file = workdir / "metrics.jsonl"  # absent where clu wrote the metrics
    return [line for line in file.read_text().splitlines() if line.strip()] if file.is_file() else []


def reads_the_future(test: "GroupDataset", config: Any, export: Path) -> list[str]:
    """Inputs of the run's network that change with likes or comments, which nobody has before posting."""
    from ipa_jax.input import fields, vocabularies
    from ipa_jax.input.batches import LoadPack, Pack

    with config.unlocked():
        if config.model.depth.resnet == "cached":
            config.model.depth.resnet = "frozen"  # the cached vectors are a function of photo and depth alone
    tables = vocabularies.load(export, config)
    parts = fields.make(test, config, train=False, depth_vectors=None, vocabularies=tables)
    images = test.images.head(int(test.groups.head(GROUPS)["images"].sum()))
    rows = np.arange(len(images), dtype=np.int32)
    batches = [LoadPack(data, parts).map(Pack(rows, 0, 0)) for data in (test, _Altered(test, tables.vocabulary))]
    changed = [
        name
        for name in batches[0]
        if name not in LABELS and not np.array_equal(*(batch[name] for batch in batches), equal_nan=True)
    ]
    return [f"the network reads what is known after posting: {', '.join(changed)}"] if changed else []


class _Altered:
    """A split whose likes and comments are other ones: comments of words that the network knows, as it drops others."""

    def __init__(self, dataset: "GroupDataset", vocabulary: "Vocabulary | None"):
        self._dataset = dataset
        self._generator = np.random.default_rng(SEED)
        self._words = vocabulary.words(range(UNKNOWN + 1, UNKNOWN + 1 + len(vocabulary))) if vocabulary else ["liked"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def get(self, records: Sequence[int]) -> list[dict[str, Any]]:
        return [self._changed(group) for group in self._dataset.get(records)]

    def _changed(self, group: dict[str, Any]) -> dict[str, Any]:
        likes = self._generator.integers(1, 1 << 40, len(group["likes"]))
        return group | {"likes": likes, "comments": [self._comments() for _ in group["comments"]]}

    def _comments(self) -> str:
        lines = self._generator.choice(self._words, (self._generator.integers(1, LINES + 1), WORDS))
        return "\n".join(map(" ".join, lines))
