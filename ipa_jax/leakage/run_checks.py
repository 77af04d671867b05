"""What a finished run adds to the checklist.

The run was evaluated on the test images, everything was chosen on validation, and the network reads nothing that is
unknown before posting: neither likes nor comments.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data_builders.dataset import GroupDataset
from ipa_jax.input import fields, vocabularies
from ipa_jax.input.batches import LoadPack, Pack
from ipa_jax.input.field import LABELS
from ipa_jax.input.texts import UNKNOWN, Vocabulary
from ipa_jax.leakage.checks import FEATURE_SELECTION, ILLEGITIMATE, NO_TEST_SET, Added
from ipa_jax.metrics.split_metrics import evaluate, rescale_factor
from ipa_jax.training import workdir as workdirs
from ipa_jax.training.export import load_config
from ipa_jax.training.export_folder import REMEDY, ExportError
from ipa_jax.training.workdir import WorkdirError
from third_party_ports.reading import json_object, reading

GROUPS = 32  # test groups whose inputs are read again
LINES, WORDS = 40, 8  # random comments: at most so many lines per post, so many words each
CLOSE = 1e-6
SEED = 0  # of the random likes and comments


def check(workdir: Path, data_dir: Path | str) -> Added:
    """What the run in a workdir adds to the lines.

    Args:
      workdir: of a finished run.
      data_dir: the data set that it was trained on.
    Raises:
      FileNotFoundError: the workdir holds no finished run, or no data set exists in `data_dir`.
      ExportError: the export is damaged, or was written by another version of the project.
      WorkdirError, ScoresError: the results or scores are damaged.
    """
    if not (workdir / "results.json").is_file():
        raise FileNotFoundError(f"{workdir}/results.json: --workdir must name the folder of a finished run")
    results = workdirs.read_results(workdir)
    config = load_config(workdir / "export" / "config.json")
    test, validation = (GroupDataset(data_dir, name) for name in ("test", "validation"))
    return {
        NO_TEST_SET: (
            judged(workdir, results, test),
            "the run's scores are of the test images, and give the figures in results.json",
        ),
        FEATURE_SELECTION: (
            chosen(workdir, results, validation),
            f"the run kept step {results['best_step']}, the best on validation, and its factor on z fits validation",
        ),
        ILLEGITIMATE: (
            reads_the_future(test, config, workdir / "export"),
            "the network's inputs stay the same to the last bit if likes and comments are replaced by random ones",
        ),
    }


def judged(workdir: Path, results: Mapping[str, Any], test: GroupDataset) -> list[str]:
    """Faults of the stored test scores: they are of other images, or do not give the figures in results.json."""
    scores = workdirs.read_scores(workdir, "test")
    keys = ["account", "image_id", "post_id", "likes"]
    if sorted(scores.select(keys).rows()) != sorted(test.images.select(keys).rows()):
        return ["the run's test scores are of other images than the test split's"]
    accuracy = evaluate(scores, test.options["pairs"]["min_ratio"], draws=0)["accuracy"]
    stored = results["test"]["accuracy"]
    if abs(accuracy - stored) < CLOSE:
        return []
    return [f"results.json says accuracy {stored:.4f}, but the run's scores give {accuracy:.4f}"]


def chosen(workdir: Path, results: Mapping[str, Any], validation: GroupDataset) -> list[str]:
    """Faults of what was chosen: validation gives another best step, or another factor on z."""
    faults = []
    scores = workdirs.read_scores(workdir, "validation")
    if sorted(scores["image_id"]) != sorted(validation.images["image_id"]):
        faults.append("the run's validation scores are of other images than the validation split's")
    factor = rescale_factor(scores, validation.options["pairs"]["min_ratio"])
    if not np.isclose(factor, results["test"]["rescale_factor"], rtol=1e-4):
        faults.append(f"z is rescaled by {results['test']['rescale_factor']:.4f}, but validation gives {factor:.4f}")
    lines = _log(workdir)
    curve = [
        (line["scalars"]["validation/accuracy"], line["step"])
        for line in lines
        if "validation/accuracy" in line.get("scalars", {})
    ]
    if curve:
        best = max(accuracy for accuracy, _ in curve)
        kept = dict((step, accuracy) for accuracy, step in curve).get(results["best_step"])
        if kept is None or kept < best - CLOSE:
            faults.append(f"the run kept step {results['best_step']}, which is not the best on validation")
    early = [
        line["step"]
        for line in lines
        if any(name.startswith("test/") for name in line.get("scalars", {})) and line["step"] < results["steps"]
    ]
    if early:
        faults.append(f"test figures were computed during training, at step {early[0]}")
    return faults


def _log(workdir: Path) -> list[dict[str, Any]]:
    file = workdir / "metrics.jsonl"  # missing if clu wrote the metrics
    if not file.is_file():
        return []
    with reading(file, WorkdirError, "delete it to check the run without its log"):
        return [json_object(line) for line in file.read_bytes().splitlines() if line.strip()]


def reads_the_future(test: GroupDataset, config: ConfigDict, export: Path) -> list[str]:
    """Faults of the network's inputs: some change with likes or comments, which are unknown before posting."""
    with config.unlocked():
        if config.model.depth.resnet == "cached":
            config.model.depth.resnet = "frozen"  # the cached vectors are a function of photo and depth alone
    tables = vocabularies.load(export, config, ExportError, REMEDY)
    parts = fields.make(test, config, train=False, depth_vectors=None, vocabularies=tables)
    images = test.images.head(int(test.groups.head(GROUPS)["images"].sum()))
    rows = np.arange(len(images), dtype=np.int32)
    batches = [LoadPack(data, parts).map(Pack(rows, 0, 0)) for data in (test, _Altered(test, tables.vocabulary))]
    changed = [
        name
        for name in batches[0]
        if name not in LABELS and not np.array_equal(*(batch[name] for batch in batches), equal_nan=True)
    ]
    return [f"the network reads what is only known after posting: {', '.join(changed)}"] if changed else []


class _Altered(GroupDataset):
    """A split with random likes and comments. The comments use words of the network's vocabulary: it drops others."""

    def __init__(self, dataset: GroupDataset, vocabulary: Vocabulary | None):
        super().__init__(dataset.folder, dataset.split)
        self._dataset = dataset
        self._generator = np.random.default_rng(SEED)
        self._words = vocabulary.words(range(UNKNOWN + 1, UNKNOWN + 1 + len(vocabulary))) if vocabulary else ["liked"]

    def get(self, records: Sequence[int]) -> list[dict[str, Any]]:
        return [self._changed(group) for group in self._dataset.get(records)]

    def _changed(self, group: dict[str, Any]) -> dict[str, Any]:
        likes = self._generator.integers(1, 1 << 40, len(group["likes"]))
        return group | {"likes": likes, "comments": [self._comments() for _ in group["comments"]]}

    def _comments(self) -> str:
        lines = self._generator.choice(self._words, (self._generator.integers(1, LINES + 1), WORDS))
        return "\n".join(map(" ".join, lines))
