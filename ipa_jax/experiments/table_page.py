"""What the tables' pages say, from the records of the runs: rows, claims and checks, as table_pages prints them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ipa_jax.experiments import table_rows
from ipa_jax.experiments.statistics import METRICS


def document(
    found: Mapping[str, dict],
    missing: Mapping[str, str],
    min_ratio: float,
    *,
    command: str,
    title: str,
    extra: Sequence[str] = (),
    human: Mapping[str, Any] | None = None,
    remarks: str = "",
    draws: int = 1000,
) -> dict[str, Any]:
    """All that the pages say, as table_pages reads it.

    Args:
      found, missing, min_ratio: of `tables.collect`; extra: names of rows that no table lists.
      human: what ipa_jax.human_study score --json gave.
    """
    from ipa_jax import paper as paper_results
    from ipa_jax.baselines.names import YARDSTICKS
    from ipa_jax.experiments import statistics

    full = table_rows.FULL.name
    measured = {name: statistics.figures(runs, min_ratio, draws=draws) for name, runs in found.items()}

    def apart(name: str) -> dict[str, Any] | None:
        try:
            return statistics.difference(found[full], found[name], min_ratio, draws=draws)["accuracy"]
        except ValueError:
            return None  # on other test images

    def line(row: table_rows.Row) -> dict[str, Any]:
        name, ours = row.name, measured.get(row.name)
        return {
            "name": name,
            "label": row.label,
            "paper": paper_results.figures(row.paper) if row.paper else {},
            "ours": ours,
            "missing": "" if ours else missing.get(name, "not run"),
            "difference": apart(name) if ours and name != full else None,
        }

    marks = [
        table_rows.Row(key, name, note=f"{name}: {note}.") for key, (name, note) in YARDSTICKS.items() if key in found
    ]
    marks.append(table_rows.SHUFFLED)
    others = [table_rows.find(name) for name in extra]
    paper = paper_results.METRICS
    tables = [
        {"name": "1", "title": "Table 1", "metrics": METRICS, "paper": paper,
         "rows": [_human(human), *map(line, table_rows.TABLE_1)], "notes": _notes(table_rows.TABLE_1)},
        {"name": "2", "title": "Table 2", "metrics": METRICS, "paper": ("accuracy",),
         "rows": [*map(line, (*table_rows.TABLE_2, *others))], "notes": _notes(table_rows.TABLE_2)},
        {"name": "yardsticks", "title": "Yardsticks", "metrics": METRICS, "paper": (),
         "rows": [*map(line, marks)], "notes": _notes(marks)},
    ]  # fmt: skip
    one = measured[full]
    seeds, worlds = one["seeds"], len({world for world, _ in found[full].values()})
    of = f"{seeds} training seeds of one data set, " if seeds > 1 else ""
    if worlds > 1:
        of = f"{seeds} worlds pooled, a training run each, "
    each = 1 if worlds > 1 else seeds  # seeds of one data set judge the same pairs
    lead = [
        f"Test split: {of}{one['pairs'] // each} valid pairs of {one['groups'] // each} groups of {one['accounts']} "
        f"accounts. Intervals: 95 % "
        f"by bootstrap over {one['interval_over']}, differences paired; spread: standard deviation between "
        f"{'worlds' if worlds > 1 else 'training seeds'}. A difference whose interval holds 0 is undecided. How much "
        "another training seed would move a figure is not in the intervals; so a claim holds where its interval "
        "leaves out 0 and every run agrees.",
        "The paper's figures are on its own data: the order of rows may be compared, the numbers may not. "
        "Ratio MSE rescaled: after one factor on each model's log score, fitted on validation pairs.",
    ]
    return {
        "title": title,
        "command": command,
        "lead": lead,
        "tables": tables,
        "claims": _claims(found, measured, min_ratio, draws),
        "checks": _checks(found, measured, missing),
        "remarks": remarks,
    }


def _notes(rows: Sequence[table_rows.Row]) -> list[str]:
    return [row.note for row in rows if row.note]


def _human(score: Mapping[str, Any] | None) -> dict[str, Any]:
    """The human row: people's mean without the highest and the lowest, as the paper's; the plain mean below three."""
    from ipa_jax import paper as paper_results

    row = {"name": "human", "label": "Human", "paper": paper_results.figures("Human"), "ours": None,
           "missing": "no study given", "difference": None}  # fmt: skip
    if score:
        name = "trimmed_mean" if score["trimmed_mean"] is not None else "mean"
        ours = {metric: None for metric in METRICS} | {f"{metric}_interval": None for metric in METRICS}
        ours |= {"accuracy": score[name], "accuracy_interval": score[f"{name}_interval"], "spread": {}, "mean": {}}
        row |= {
            "ours": ours | {"pairs": score["answers"]},
            "missing": "",
            "label": f"Human ({len(score['participants'])} people on {_data_dir(score['data'])})",
        }
    return row


def _data_dir(folder: str) -> str:
    """Name of the data_dir that a data set's own folder, DATA_DIR/NAME/VERSION, is in."""
    return Path(*Path(folder).parts[:-2]).name


def _claims(found: Mapping, measured: Mapping, min_ratio: float, draws: int) -> list[dict[str, Any]]:
    from ipa_jax import paper as paper_results
    from ipa_jax.experiments import statistics

    named = {row.name: row.paper for row in table_rows.TRAINED if row.paper}
    claims = []
    for text, ours, theirs in table_rows.CLAIMS:
        paper = None
        if ours in named and theirs in named:
            paper = paper_results.figures(named[ours])["accuracy"] - paper_results.figures(named[theirs])["accuracy"]
        if ours in found and theirs in found:
            apart = statistics.difference(found[ours], found[theirs], min_ratio, draws=draws)
            claims.append(statistics.claim(text, apart, paper))
        else:
            absent = " and ".join(name for name in (ours, theirs) if name not in measured)
            claims.append({"claim": text, "verdict": f"not tested: no {absent}", "difference": None, "paper": paper})
    return claims


def _checks(found: Mapping[str, Mapping], measured: Mapping[str, Mapping], missing: Mapping[str, str]) -> list[str]:
    from ipa_jax.experiments.pages import interval, number
    from ipa_jax.metrics import bootstrap

    lines = []
    controls = {"chance": ("a coin", False)}
    controls[table_rows.CONTROL] = ("shuffled likes", True)  # over the shuffles: what one taught is in all accounts
    for name, (what, shuffles) in controls.items():
        if name not in measured:
            lines.append(f"not run: {what} ({missing.get(name, 'not run')})")
            continue
        accuracies = [record.figures["accuracy"] for _, record in found[name].values()]
        drawn = bootstrap.over_runs(accuracies) if shuffles else measured[name]["accuracy_interval"]
        mean = sum(accuracies) / len(accuracies) if shuffles else measured[name]["accuracy"]
        over = "the shuffles" if shuffles else measured[name]["interval_over"]
        if drawn is None:
            lines.append(f"not decided: {what}, {number(mean, 'accuracy')} %: fewer than three shuffles decide nothing")
            continue
        told = f"{number(mean, 'accuracy')} % (95 % over {over} {interval(drawn, 'accuracy')})"
        if shuffles:
            told += f"; a leak worth less than {50 * (drawn[1] - drawn[0]):.0f} points would not show in so few"
        passed = drawn[0] <= 0.5 <= drawn[1]
        lines.append(f"{'pass' if passed else 'fail'}: {what} at 50 % within the interval: {told}")
    constant = measured["account_constant"]["accuracy"]
    lines.append(f"{'pass' if constant == 0.5 else 'fail'}: an account's constant gives 50 % exactly: {constant:.6f}")
    return lines
