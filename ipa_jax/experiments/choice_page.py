"""The tables of `choices` as lines of Markdown, from records."""

from collections.abc import Mapping

import polars as pl

from ipa_jax.experiments import training_seeds
from ipa_jax.experiments.choice_rows import (
    ALL_IMAGES,
    BANKS,
    DEFAULT,
    FULL_BANK,
    OURS,
    QUESTIONS,
    TRAINED_AGAIN,
    Choice,
    bank,
)
from ipa_jax.experiments.pages import difference, interval, line, number, points
from ipa_jax.experiments.records import Recorded, pooled
from ipa_jax.experiments.statistics import difference_in_accuracy
from ipa_jax.metrics.posts import pool_posts
from ipa_jax.metrics.split_metrics import evaluate

NOT_RUN = "not run"


def judged(runs: Recorded, posts: str | None = None, split: str = "test") -> pl.DataFrame:
    """The scores of a row over all worlds: of images, or of posts, pooled as `posts` says (metrics.posts.POOLS)."""
    scores = pooled(runs.values(), split=split)
    return pool_posts(scores, posts) if posts else scores


def cells(scores: pl.DataFrame, base: pl.DataFrame | None, min_ratio: float) -> list[str]:
    """Accuracy, its interval, the difference to `base` on the same draws of accounts, SRCC, Ratio MSE, pairs."""
    found = evaluate(scores, min_ratio)
    return [
        number(found["accuracy"], "accuracy"),
        interval(found["accuracy_interval"], "accuracy"),
        difference(difference_in_accuracy(scores, base, min_ratio)) if base is not None else "",
        number(found["srcc"], "srcc"),
        number(found["ratio_mse"], "ratio_mse"),
        f"{found['pairs']:,}",
    ]


def choice_table(found: Mapping[str, Recorded], min_ratio: float) -> list[str]:
    """A line for each alternative; one without records says "not run".

    The validation column decides: configs/ours.py is chosen by it. The test columns only report.

    Args:
      found: the records of the rows of choice_rows.CHOICES.
      min_ratio: the ratio of likes that a valid pair exceeds (eq. 8).
    Raises:
      RecordError: a record holds no validation scores.
    """
    default = found[DEFAULT.name]
    base = judged(default)

    def row(question: str, preset: str, choice: Choice) -> str:
        if choice.name not in found:
            return line([question, preset, choice.label, NOT_RUN, *[""] * 6])
        ours, apart = found[choice.name], ""
        if choice is not DEFAULT:
            scores = judged(ours, choice.posts, "validation"), judged(default, split="validation")
            apart = difference(difference_in_accuracy(*scores, min_ratio))
        measured = cells(judged(ours, choice.posts), None if choice is DEFAULT else base, min_ratio)
        return line([question, preset, choice.label, apart, *measured])

    lines = ["| choice | full.py | instead | validation: minus full.py, points (95 %) | test: accuracy % | 95 % "
             "| minus full.py, points (95 %) | SRCC | Ratio MSE | pairs |",
             "|---|---|---|---|---:|:---:|---|---:|---:|---:|", row("", "", DEFAULT)]  # fmt: skip
    for question in QUESTIONS:
        head = f"{question.text}, `{question.field}`"
        lines += [row(head, question.default, choice) for choice in question.instead]
    return [*lines, row("what measured best", "", OURS)]


def carousel_table(found: Mapping[str, Recorded], min_ratio: float) -> list[str]:
    """The model of `carousel = all`, judged by its images and by its posts; [] if it was not run."""
    if ALL_IMAGES.name not in found:
        return []
    ours = found[ALL_IMAGES.name]
    first = judged(ours, "first")
    rows = {"single images": (None, None), "posts by their first image": ("first", None),
            "posts by the mean z of their images": ("mean", first),
            "posts by their highest z": ("max", first)}  # fmt: skip
    lines = ["| judged | accuracy % | 95 % | minus first image, points (95 %) | SRCC | Ratio MSE | pairs |",
             "|---|---:|:---:|---|---:|---:|---:|"]  # fmt: skip
    return lines + [line([text, *cells(judged(ours, posts), base, min_ratio)]) for text, (posts, base) in rows.items()]


def history_table(found: Mapping[str, Recorded], min_ratio: float) -> list[str]:
    """A line for each size of the bank: accuracy with empty slots and with filled ones."""
    lines = ["| posts in the bank | slots empty: accuracy % | 95 % | filled: accuracy % | 95 % "
             "| filled minus empty, points (95 %) |", "|---:|---:|:---:|---:|:---:|---|"]  # fmt: skip

    def measured(scores: pl.DataFrame | None) -> list[str]:
        return [NOT_RUN, ""] if scores is None else cells(scores, None, min_ratio)[:2]

    for posts in BANKS:
        names = bank(posts), bank(posts, filled=True)
        empty, filled = (judged(found[name]) if name in found else None for name in names)
        apart = ""
        if empty is not None and filled is not None:
            apart = difference(difference_in_accuracy(filled, empty, min_ratio))
        second = ["no slot to fill", ""] if posts >= FULL_BANK else measured(filled)
        lines.append(line([str(posts), *measured(empty), *second, apart]))
    if DEFAULT.name in found:
        lines.append(line(["all", *measured(judged(found[DEFAULT.name])), "", "", ""]))
    return lines


def trainings_table(found: Mapping[str, Recorded], min_ratio: float) -> list[str]:
    """A line for each of choice_rows.TRAINED_AGAIN: mean accuracy, spread between trainings, difference to full.py."""
    lines = ["| model | trainings | accuracy % | standard deviation between trainings, points | minus full.py, points: "
             "95 % over accounts | 95 % over accounts and training seeds | ahead in |",
             "|---|---:|---:|---:|---|---|---:|"]  # fmt: skip
    for row in TRAINED_AGAIN:
        if row.name not in found:
            lines.append(line([row.label, NOT_RUN, *[""] * 5]))
            continue
        runs = found[row.name]
        apart = training_seeds.spread(runs)
        cells = [row.label, str(len(runs)), number(training_seeds.accuracy(training_seeds.counts(runs, min_ratio)),
                 "accuracy"), "" if apart is None else f"{100 * apart:.1f}"]  # fmt: skip
        if row is DEFAULT or DEFAULT.name not in found:
            lines.append(line([*cells, "", "", ""]))
            continue
        against = training_seeds.difference(runs, found[DEFAULT.name], min_ratio)
        apart = against["accuracy"]
        alone, both = points(apart | {"interval": apart["over_accounts"]}), "one training"
        if apart["interval"]:
            both = difference(apart)
        lines.append(line([*cells, alone, both, f"{against['ahead']} of {against['seeds']}"]))
    return lines
