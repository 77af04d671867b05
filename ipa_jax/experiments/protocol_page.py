"""The tables of `protocols` as lines of Markdown, from records: protocols side by side, and what leaks are worth."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from data_builders.demo_world.plants import PLANTS
from data_builders.groups import is_valid
from ipa_jax.experiments import records
from ipa_jax.experiments.pages import difference, interval, line, number
from ipa_jax.experiments.protocol_rows import COMPARED, PAPER, PROTOCOLS, far_images, planted
from ipa_jax.experiments.records import Recorded
from ipa_jax.experiments.statistics import difference_in_accuracy
from ipa_jax.experiments.study import Study
from ipa_jax.metrics.split_metrics import evaluate

NEAR_LABELS = {  # rows from the scores of the paper's run, without test images that have a near-duplicate
    "no_hash": "no near-duplicates, by perceptual hash",
    "no_cosine": "no near-duplicates, by hash or by backbone cosine in the account",
    "no_cosine_any": "no near-duplicates, by hash or by backbone cosine in all of train",
}
LABELS = {PAPER: PROTOCOLS[0].label} | NEAR_LABELS | {row.name: row.label for row in PROTOCOLS[1:]}


class Limits(NamedTuple):
    """How alike near-duplicates are: data.duplicates.max_bits at most, or above eval.duplicate_cosine."""

    bits: int
    cosine: float


def kept_scores(runs: Recorded, keeps: Sequence[np.ndarray] | None = None) -> pl.DataFrame:
    """The test scores of a row over all worlds.

    Args:
      runs: the records of the row.
      keeps: bool [I] for each record, the images to keep; None keeps all.
    Returns:
      A frame of scores, without groups that have a single image left.
    """
    scores = records.pooled(runs.values())
    if keeps is not None:
        scores = scores.filter(pl.Series(np.concatenate(keeps)))
    return scores.filter(pl.len().over("record") > 1)


def paired_groups(scores: pl.DataFrame, min_ratio: float) -> pl.DataFrame:
    """The groups that have a valid pair (eq. 8)."""
    likes = pl.col("likes")
    extremes = scores.select(most=likes.max().over("record"), fewest=likes.min().over("record"))
    return scores.filter(pl.Series(is_valid(extremes["most"].to_numpy(), extremes["fewest"].to_numpy(), min_ratio)))


def protocol_scores(found: Mapping[str, Recorded], limits: Limits, min_ratio: float) -> dict[str, pl.DataFrame]:
    """Name of a row -> test scores, in the order of the page. Rows without records are left out."""
    scores = {row.name: kept_scores(found[row.name]) for row in PROTOCOLS if row.name in found}
    near = {
        "no_hash": {},
        "no_cosine": {"max_cosine": limits.cosine},
        "no_cosine_any": {"max_cosine": limits.cosine, "any_account": True},
    }
    for name, limit in near.items():
        keep = [far_images(record, limits.bits, **limit) for _, record in found[PAPER].values()]
        scores[name] = paired_groups(kept_scores(found[PAPER], keep), min_ratio)
    return {name: scores[name] for name in LABELS if name in scores}


def protocol_table(scores: Mapping[str, pl.DataFrame], limits: Limits, min_ratio: float) -> list[str]:
    """A line for each protocol, and a sentence about the images that were left out."""
    head = ["| protocol | accuracy % | 95 % interval | SRCC | Ratio MSE | test pairs | minus paper, points |",
            "|---|---:|:---:|---:|---:|---:|---|"]  # fmt: skip
    rows = [
        _protocol(LABELS[name], scores[name], None if name == PAPER else scores[PAPER], min_ratio) for name in scores
    ]
    return [*head, *rows, "", _left_out(scores, limits)]


def _protocol(text: str, scores: pl.DataFrame, base: pl.DataFrame | None, min_ratio: float) -> str:
    """Accuracy with its interval, SRCC, Ratio MSE, pairs, and the difference to `base`."""
    if scores.is_empty():
        return line([text, "", "", "", "", "0", "no pair is left"])
    result = evaluate(scores, min_ratio)
    return line([
        text,
        number(result["accuracy"], "accuracy"),
        interval(result["accuracy_interval"], "accuracy"),
        number(result["srcc"], "srcc"),
        number(result["ratio_mse"], "ratio_mse"),
        f"{result['pairs']:,}",
        "" if base is None else difference(difference_in_accuracy(scores, base, min_ratio)),
    ])  # fmt: skip


def _left_out(scores: Mapping[str, pl.DataFrame], limits: Limits) -> str:
    images = len(scores[PAPER])
    hashed, own, anywhere = (images - len(scores[name]) for name in NEAR_LABELS)
    return (
        f"Left out of {images:,} test images: {hashed:,} by hash (within {limits.bits} of 64 bits), {own:,} by hash or "
        f"cosine (above {limits.cosine:g}) in the account, {anywhere:,} in all of train. These counts include the rest "
        "of each group that has no valid pair left."
    )


def leak_table(found: Mapping[str, Recorded], limits: Limits, min_ratio: float) -> list[str]:
    """What each planted leak is worth in accuracy, and what the checklist says about honest runs.

    A plant has a line if both its run and the run that it is compared with have records.
    """
    lines = ["| type of leak | planted | with it, % | without, % | worth, points | what the checklist says |",
             "|---|---|---:|---:|---|---|"]  # fmt: skip
    for name, plant in PLANTS.items():
        here, honest = found.get(planted(name)), COMPARED.get(name)
        if here is None or (honest is not None and honest not in found):
            continue
        leaky = kept_scores(here)
        if honest is None:  # planted duplicates: the same run, without the images that have one
            far = [far_images(record, limits.bits) for _, record in here.values()]
            without = paired_groups(kept_scores(here, far), min_ratio)
        else:
            without = kept_scores(found[honest])
        results = (evaluate(scores, min_ratio, draws=0) for scores in (leaky, without))
        accuracies = [number(result["accuracy"], "accuracy") for result in results]
        worth = difference(difference_in_accuracy(leaky, without, min_ratio))
        lines.append(line([plant.kind, f"`{name}`: {plant.text}", *accuracies, worth, failing(here) or "**passes**"]))
    return [*lines, "", _honest(found)]


def failing(runs: Recorded) -> str:
    """Which lines of the checklist fail on these runs, and in how many of the worlds; "" if none does."""
    checked = [record.extra["checklist"] for _, record in runs.values()]
    titles = [title.split()[0] for lines in checked for title, verdict in lines if verdict == "fail"]
    failed = [f"{title} ({titles.count(title)} of {len(runs)} worlds)" for title in dict.fromkeys(titles)]
    return f"fails: {', '.join(failed)}" if failed else ""


def _honest(found: Mapping[str, Recorded]) -> str:
    """What the checklist says where nothing is planted. A line that fails there too has not caught the leak."""
    names = [name for name in dict.fromkeys(COMPARED.values()) if name in found]
    verdicts = [f"`{name}` {failing(found[name]) or 'fails no line'}" for name in names]
    return f"Of the runs without a plant, {', '.join(verdicts)}."


def lead(study: Study) -> list[str]:
    """What was trained, on what: the sentences above the table."""
    world, seeds = study.worlds[0], ", ".join(str(world.seed) for world in study.worlds)
    return [
        f"`configs/full.py:{study.size}` on demo worlds of {world.accounts} accounts x {world.posts} posts (world seed "
        f"= training seed = {seeds}). Test groups are pooled; intervals are by bootstrap over accounts.",
        "",
    ]
