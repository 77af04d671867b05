"""How often the people of a study were right, with the paper's trimming (section 4.2.1) and without it."""

from typing import Any

import numpy as np

from data_builders.dataset import GroupDataset
from ipa_jax.human_study.answers import Answers
from ipa_jax.human_study.pairs import digest
from ipa_jax.metrics import bootstrap


def trimmed_mean(accuracy: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """The mean without one highest and one lowest value (section 4.2.1).

    Args:
      accuracy: float64 [P], P >= 3 people.
      times: float64 [D, P], how often each draw holds each person, with rows that sum to P; None: one draw, each once.
    Returns:
      float64 [D].
    """
    times = np.ones((1, len(accuracy))) if times is None else times
    highest = np.where(times > 0, accuracy, -np.inf).max(axis=1)
    lowest = np.where(times > 0, accuracy, np.inf).min(axis=1)
    return (times @ accuracy - highest - lowest) / (len(accuracy) - 2)


def summary(accuracy: np.ndarray, *, draws: int, seed: int) -> dict[str, Any]:
    """The mean and the trimmed mean with 95 % intervals by bootstrap over people.

    Args:
      accuracy: float64 [P], of each person.
      draws, seed: of the bootstrap.
    Returns:
      "mean", "mean_interval", "trimmed_mean" and "trimmed_mean_interval". None if there are too few people: 1 for the
      mean, 2 for its interval, 3 for the others.
    """
    n = len(accuracy)
    times = bootstrap.draw(n, draws, seed) if n else np.zeros((0, 0))
    return {
        "mean": float(accuracy.mean()) if n else None,
        "mean_interval": bootstrap.interval(times @ accuracy / n) if n > 1 else None,
        "trimmed_mean": float(trimmed_mean(accuracy)[0]) if n > 2 else None,
        "trimmed_mean_interval": bootstrap.interval(trimmed_mean(accuracy, times)) if n > 2 else None,
    }


def score(
    answers: Answers, dataset: GroupDataset, *, incomplete: bool = False, draws: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Scores the answers by the likes of the data set.

    Args:
      answers: the file of the study.
      dataset: the split that was served.
      incomplete: also count people who have not answered all pairs, over those that they have answered.
      draws, seed: of the bootstrap.
    Returns:
      "participants", a list of {"number", "name", "answers", "correct", "accuracy"}; "incomplete", a list of {"number",
      "name", "answers"}, who are left out; the four figures of `summary`; "answers", the number of all that count;
      "accuracy" over them; "left", the share of answers for the left photo; "pairs" per participant; "split", "data"
      and "digest" of the study.
    Raises:
      ValueError: the data set is not the one that was served.
    """
    study = answers.study()
    if digest(dataset) != study.digest:
        raise ValueError(
            f"{dataset.folder}, {dataset.split}: not the data set that {answers.path} was served from "
            f"({study.data}, {study.split}, digest {study.digest[:12]}); give that one (--data_dir)"
        )
    likes = {tuple(place): count for *place, count in dataset.images.select("record", "position", "likes").iter_rows()}
    chosen = answers.choices()
    right: dict[int, list[bool]] = {}
    for choice in chosen:
        best = likes[choice.record, choice.chosen] > likes[choice.record, choice.other]
        right.setdefault(choice.participant, []).append(best)
    people, unfinished = [], []
    for person in answers.participants():
        marks = right.get(person.id, [])
        row = {"number": person.id, "name": person.name, "answers": len(marks)}
        if len(marks) == study.pairs or (incomplete and marks):
            people.append(row | {"correct": sum(marks), "accuracy": sum(marks) / len(marks)})
        else:
            unfinished.append(row)
    counted = {person["number"] for person in people}
    sides = [choice.side == "left" for choice in chosen if choice.participant in counted]
    correct = sum(person["correct"] for person in people)
    return {
        "participants": people,
        "incomplete": unfinished,
        **summary(np.array([person["accuracy"] for person in people]), draws=draws, seed=seed),
        "answers": len(sides),
        "accuracy": correct / len(sides) if sides else None,
        "left": sum(sides) / len(sides) if sides else None,
        "pairs": study.pairs,
        "split": study.split,
        "data": study.data,
        "digest": study.digest,
    }


def lines(result: dict[str, Any]) -> list[str]:
    """The result of `score` as text."""
    table = [f"{'':>4}  {'participant':<30}{'answers':>9}{'correct':>9}{'accuracy':>11}"]
    for person in result["participants"]:
        figures = f"{person['answers']:>9}{person['correct']:>9}{100 * person['accuracy']:>9.1f} %"
        table.append(f"{person['number']:>4}  {person['name'][:29]:<30}{figures}")
    for person in result["incomplete"]:
        table.append(f"{person['number']:>4}  {person['name'][:29]:<30}{person['answers']:>9}   left out: not finished")
    count = len(result["participants"])
    table.append(f"{count} participants, {result['answers']} answers, {result['pairs']} pairs each")
    for name, key in (("mean", "mean"), ("without highest and lowest (the paper's)", "trimmed_mean")):
        if result[key] is not None:
            interval = result[f"{key}_interval"]
            shown = f" (95 % {100 * interval[0]:.2f} to {100 * interval[1]:.2f}, over participants)" if interval else ""
            table.append(f"  {name}: {100 * result[key]:.2f} %{shown}")
    if 0 < count < 3:
        table.append("  without highest and lowest: needs 3 participants")
    if result["left"] is not None:
        table.append(f"  the left photo was chosen in {100 * result['left']:.1f} % of the answers")
    return table
