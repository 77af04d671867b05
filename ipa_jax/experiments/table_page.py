"""What the page of Tables 1 and 2 says: rows, claims and checks from records, as one dict for table_files.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ipa_jax import paper
from ipa_jax.baselines.names import BASELINES
from ipa_jax.experiments import statistics, table_rows, training_seeds
from ipa_jax.experiments.pages import interval, number
from ipa_jax.experiments.records import Recorded
from ipa_jax.experiments.statistics import DRAWS, TABLE_METRICS
from ipa_jax.experiments.study import FULL
from ipa_jax.experiments.table_rows import CONTROL, TableRow
from ipa_jax.metrics import bootstrap


@dataclass(frozen=True)
class Results:
    """The records of a page with their figures.

    Attributes:
      found: name of a row -> its records.
      missing: name of a row -> why it has none.
      min_ratio: the ratio of likes that a valid pair exceeds (eq. 8).
      draws: of the bootstrap.
      trainings: rows with the records of further training seeds (training_seeds.again), for the claims.
      figures: name of a row -> statistics.figures of its records.
    """

    found: Mapping[str, Recorded]
    missing: Mapping[str, str]
    min_ratio: float
    draws: int = DRAWS
    trainings: Mapping[str, Recorded] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        measured = {
            name: statistics.figures(runs, self.min_ratio, draws=self.draws) for name, runs in self.found.items()
        }
        object.__setattr__(self, "figures", measured)

    def difference(self, ours: str, theirs: str) -> dict[str, Any]:
        """statistics.difference of two rows."""
        return statistics.difference(self.found[ours], self.found[theirs], self.min_ratio, draws=self.draws)

    def claim(self, text: str, ours: str, theirs: str, by_paper: float | None) -> dict[str, Any]:
        """statistics.claim, judged over several trainings on each world if both rows have them."""
        if ours in self.trainings and theirs in self.trainings:
            runs = self.trainings[ours], self.trainings[theirs]
            found = training_seeds.difference(*runs, self.min_ratio, draws=self.draws)
            if found["accuracy"]["interval"]:
                return statistics.claim(text, found, by_paper, trainings=True)
        return statistics.claim(text, self.difference(ours, theirs), by_paper)

    def row(self, row: TableRow) -> dict[str, Any]:
        """A row of a table: "name", "label", "paper", "ours", "missing" and "difference" to the full model."""
        name, ours, difference = row.name, self.figures.get(row.name), None
        if ours and name != FULL:
            try:
                difference = self.difference(FULL, name)["accuracy"]
            except ValueError:
                difference = None  # the row has other test images
        return {
            "name": name,
            "label": row.label,
            "paper": paper.figures(row.paper) if row.paper else {},
            "ours": ours,
            "missing": "" if ours else self.missing.get(name, "not run"),
            "difference": difference,
        }


def document(
    results: Results,
    *,
    command: str,
    title: str,
    extra: Sequence[str] = (),
    human: Mapping[str, Any] | None = None,
    remarks: str = "",
) -> dict[str, Any]:
    """All that the page says, as table_files.py prints it.

    Args:
      results: the records and their figures.
      command, title: the command that makes the page, and the title.
      extra: names of rows that no table lists; they go into Table 2.
      human: as reference_rows.human_score returns it.
      remarks: Markdown for the end of the page.
    """
    others = [table_rows.find(name) for name in extra]
    baselines = [
        TableRow(name, row.title, note=f"{row.title}: {row.note}.")
        for name, row in BASELINES.items()
        if name in results.found
    ]
    baselines.append(table_rows.SHUFFLED)
    return {
        "title": title,
        "command": command,
        "lead": _lead(results),
        "tables": [
            _table("1", "Table 1", [_human(human), *map(results.row, table_rows.TABLE_1)], table_rows.TABLE_1,
                   paper.METRICS),
            _table("2", "Table 2", map(results.row, (*table_rows.TABLE_2, *others)), table_rows.TABLE_2, ("accuracy",)),
            _table("baselines", "Baselines", map(results.row, baselines), baselines, ()),
        ],
        "claims": _claims(results),
        "checks": _checks(results),
        "remarks": remarks,
    }  # fmt: skip


def _table(name: str, title: str, rows: Any, noted: Sequence[TableRow], printed: Sequence[str]) -> dict[str, Any]:
    """A table; `printed` holds the metrics that the paper prints in it."""
    notes = [row.note for row in noted if row.note]
    return {
        "name": name,
        "title": title,
        "metrics": TABLE_METRICS,
        "paper": printed,
        "rows": list(rows),
        "notes": notes,
    }


def _lead(results: Results) -> list[str]:
    """What was measured, on what."""
    full = results.figures[FULL]
    seeds, worlds = full["seeds"], len({world for world, _ in results.found[FULL].values()})
    each, of, between = seeds, "", "training seeds"
    if worlds > 1:
        each, of, between = 1, f"{seeds} worlds pooled, one training run on each: ", "worlds"
    elif seeds > 1:  # seeds of one data set judge the same pairs
        of = f"{seeds} training seeds on one data set, each judged on "
    return [
        f"Test split: {of}{full['pairs'] // each} valid pairs in {full['groups'] // each} groups of {full['accounts']} "
        f"accounts. Intervals are 95 % intervals by bootstrap over {full['interval_over']}; differences are paired; "
        f"std is the standard deviation between {between}. A difference is undecided if its interval contains 0. The "
        "intervals do not include how much another training seed would move a figure, so a claim holds only if its "
        "interval excludes 0 and every run agrees.",
        "The paper's figures are measured on the paper's own data: compare the order of the rows, not the numbers. "
        "Ratio MSE rescaled is measured after one factor on each model's log score, fitted on validation pairs.",
    ]


def _human(score: Mapping[str, Any] | None) -> dict[str, Any]:
    """The human row: as in the paper, the mean over people without the best and the worst; the mean for one or two."""
    row = {"name": "human", "label": "Human", "paper": paper.figures("Human"), "ours": None,
           "missing": "no study given", "difference": None}  # fmt: skip
    if score:
        name = "trimmed_mean" if score["trimmed_mean"] is not None else "mean"
        ours = {metric: None for metric in TABLE_METRICS} | {f"{metric}_interval": None for metric in TABLE_METRICS}
        ours |= {"accuracy": score[name], "accuracy_interval": score[f"{name}_interval"], "std": {}, "mean": {}}
        row |= {
            "ours": ours | {"pairs": score["answers"]},
            "missing": "",
            "label": f"Human ({len(score['participants'])} people on {_data_dir(score['data'])})",
        }
    return row


def _data_dir(folder: str) -> str:
    """The name of the data_dir that holds a data set's own folder, DATA_DIR/NAME/VERSION."""
    return Path(*Path(folder).parts[:-2]).name


def _claims(results: Results) -> list[dict[str, Any]]:
    printed = {row.name: paper.figures(row.paper)["accuracy"] for row in table_rows.TRAINED if row.paper}
    claims = []
    for text, ours, theirs in table_rows.CLAIMS:
        ahead, behind = printed.get(ours), printed.get(theirs)
        by_paper = None if ahead is None or behind is None else ahead - behind
        if ours in results.found and theirs in results.found:
            claims.append(results.claim(text, ours, theirs, by_paper))
        else:
            absent = " and ".join(name for name in (ours, theirs) if name not in results.found)
            claims.append({"claim": text, "verdict": f"not tested: no {absent}", "difference": None, "paper": by_paper})
    return claims


def _checks(results: Results) -> list[str]:
    """A line for each check: "pass: ...", "fail: ...", "not run: ..." or "not decided: ..."."""
    constant = results.figures["account_constant"]["accuracy"]
    passed = "pass" if constant == 0.5 else "fail"
    return [
        _chance(results),
        _control(results),
        f"{passed}: a score that is constant within an account gives 50 % exactly: {constant:.6f}",
    ]


def _chance(results: Results) -> str:
    if "chance" not in results.figures:
        return f"not run: a coin ({results.missing.get('chance', 'not run')})"
    figures = results.figures["chance"]
    return _around_half("a coin", figures["accuracy"], figures["accuracy_interval"], figures["interval_over"])


def _control(results: Results) -> str:
    """The full model on shuffled likes, by an interval over the shuffles.

    What one shuffle teaches shows on all accounts alike, so an interval over accounts would be too narrow.
    """
    what = "shuffled likes"
    if CONTROL not in results.found:
        return f"not run: {what} ({results.missing.get(CONTROL, 'not run')})"
    accuracies = [record.figures["accuracy"] for _, record in results.found[CONTROL].values()]
    mean, bounds = sum(accuracies) / len(accuracies), bootstrap.over_runs(accuracies)
    if bounds is None:
        return f"not decided: {what}, {number(mean, 'accuracy')} %: this needs at least three shuffles"
    smallest = 50 * (bounds[1] - bounds[0])
    hidden = f"; with {len(accuracies)} shuffles, a leak worth less than {smallest:.0f} points would not show"
    return _around_half(what, mean, bounds, "the shuffles") + hidden


def _around_half(what: str, accuracy: float, bounds: Sequence[float], over: str) -> str:
    passed = "pass" if bounds[0] <= 0.5 <= bounds[1] else "fail"
    measured = f"{number(accuracy, 'accuracy')} % (95 % over {over}: {interval(bounds, 'accuracy')})"
    return f"{passed}: {what}, expected at 50 %: {measured}"
