"""Tables 1 and 2 with every row: trains, evaluates, and sets ours beside the paper's.

    python -m ipa_jax.tables --out=runs/experiments --records=docs/runs/tables --seeds=3           demo worlds, pooled
    python -m ipa_jax.tables --data_dir=DATA --size=full --configs=full,basic --seeds=3 --set init.swin=FILE ...

A run that is done is never made again: its record is taken. So the same command goes on where it stopped, also on
another machine that has the records alone. Writes OUT/tables.md, .csv and .html, and --report, a copy of the first.
"""

import argparse
import ast
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ipa_jax import table_rows
from ipa_jax.stages import StageError

METRICS = ("accuracy", "plcc", "srcc", "ratio_mse", "ratio_mse_rescaled")


def runs_of(row: table_rows.Row, args: argparse.Namespace) -> list:
    """The runs of a row, one a seed: a demo world each, or training seeds of one data set."""
    from ipa_jax.experiments import BuiltData, Run, World

    fields = args.set | dict(row.fields)
    if args.data_dir:
        data = BuiltData(args.data_dir)
        return [Run(row.name, row.config, fields, data, seed, args.size) for seed in range(args.seeds)]
    seeds = [args.first_seed + number for number in range(args.seeds)]
    others = [*seeds[1:], seeds[0]] if args.seeds > 1 else [seeds[0] + 1]
    runs = []
    for seed, other in zip(seeds, others, strict=True):
        world, source = (World(s, args.accounts, args.posts) for s in (seed, other))
        full = table_rows.FULL
        resnet = Run(full.name, full.config, args.set, source, size=args.size) if row.other_resnet else None
        runs.append(Run(row.name, row.config, fields, world, size=args.size, resnet=resnet))
    return runs


def choose(args: argparse.Namespace) -> tuple[list[table_rows.Row], dict[str, str]]:
    """The rows to train, the full model first, and name -> why it is left out of the others that were asked for."""
    rows = [table_rows.find(name) for name in args.configs] if args.configs else list(table_rows.TRAINED)
    rows = list({row.name: row for row in (table_rows.FULL, *rows)}.values())
    skipped = {row.name: "not asked for" for row in table_rows.TRAINED if row not in rows}
    for row in rows:
        if reason := row.missing():
            skipped[row.name] = reason
        elif args.data_dir and row.other_resnet and not args.set.get("init.resnet"):
            skipped[row.name] = "needs --set init.resnet=FILE"
        elif args.data_dir and (built := [name for name in row.fields if name.startswith("data.")]):
            skipped[row.name] = f"needs a data set built with {', '.join(built)}"
    for name, reason in skipped.items():
        if reason != "not asked for":
            print(f"left out: {name} ({reason})")
    return [row for row in rows if row.name not in skipped], skipped


def collect(args: argparse.Namespace) -> tuple[dict[str, dict], dict[str, str], float]:
    """(row name -> table_figures.Runs, row name -> why there is none, data.pairs.min_ratio)."""
    from ipa_jax import experiments, table_runs

    rows, missing = choose(args)
    runs = {row.name: runs_of(row, args) for row in rows}
    full = runs[table_rows.FULL.name]
    if args.data_dir:  # one data set: what is not trained is scored once
        full = full[:1]

    def measure(run, workdir, data_dir) -> dict:
        if run in full:  # while its backbone is at hand
            table_runs.yardsticks(run, args.out, args.records, overwrite=args.overwrite)
        return {}

    everything = [run for of_row in runs.values() for run in of_row]
    records = experiments.run(everything, args.out, args.records, overwrite=args.overwrite, measure=measure)
    key = lambda run: f"{run.world.name}/{run.training_seed}"  # noqa: E731
    found = {name: {key(run): (run.world.name, records[run]) for run in of_row} for name, of_row in runs.items()}
    for run in full:
        marks = table_runs.yardsticks(run, args.out, args.records, overwrite=args.overwrite)
        for name in table_rows.ZERO_SHOT:
            if args.weights:
                record = table_runs.zero_shot(name, run, args.weights, args.out, args.records, overwrite=args.overwrite)
                marks[f"zero_shot_{name}"] = record
        for name, record in marks.items():
            found.setdefault(name, {})[key(run)] = (run.world.name, record)
    missing |= {row.name: "weights not given" for row in table_rows.ZERO_SHOT_ROWS if not args.weights}
    return found, missing, full[0].resolved.data.pairs.min_ratio


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
      found, missing, min_ratio: of `collect`; extra: names of rows that no table lists.
      human: what ipa_jax.human_study score --json gave.
    """
    from ipa_jax import paper_results, table_figures
    from ipa_jax.report_tables import YARDSTICKS

    full = table_rows.FULL.name
    measured = {name: table_figures.figures(runs, min_ratio, draws=draws) for name, runs in found.items()}

    def apart(name: str) -> dict[str, Any] | None:
        try:
            return table_figures.difference(found[full], found[name], min_ratio, draws=draws)["accuracy"]
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
    of = f"{seeds} worlds pooled, " if worlds > 1 else f"{seeds} training seeds of one data set, " if seeds > 1 else ""
    each = 1 if worlds > 1 else seeds  # seeds of one data set judge the same pairs
    lead = [
        f"Test split: {of}{one['pairs'] // each} valid pairs of {one['groups'] // each} groups of {one['accounts']} "
        f"accounts. Intervals: 95 % "
        f"by bootstrap over {one['interval_over']}, differences paired; spread: standard deviation between seeds. A "
        "difference whose interval holds 0 is undecided.",
        "The paper's figures are on its own data: the order of rows may be compared, the numbers may not. "
        "Ratio MSE rescaled: after one factor on each model's log score, fitted on validation pairs.",
    ]
    return {
        "title": title,
        "command": command,
        "lead": lead,
        "tables": tables,
        "claims": _claims(found, measured, min_ratio, draws),
        "checks": _checks(measured, missing),
        "remarks": remarks,
    }


def _notes(rows: Sequence[table_rows.Row]) -> list[str]:
    return [row.note for row in rows if row.note]


def _human(score: Mapping[str, Any] | None) -> dict[str, Any]:
    """The human row: people's mean without the highest and the lowest, as the paper's; the plain mean below three."""
    from ipa_jax import paper_results

    row = {"name": "human", "label": "Human", "paper": paper_results.figures("Human"), "ours": None,
           "missing": "no study given", "difference": None}  # fmt: skip
    if score:
        name = "trimmed_mean" if score["trimmed_mean"] is not None else "mean"
        ours = {metric: None for metric in METRICS} | {f"{metric}_interval": None for metric in METRICS}
        ours |= {"accuracy": score[name], "accuracy_interval": score[f"{name}_interval"], "spread": {}, "mean": {}}
        row |= {
            "ours": ours | {"pairs": score["answers"]},
            "missing": "",
            "label": f"Human ({len(score['participants'])} people)",
        }
    return row


def _claims(found: Mapping, measured: Mapping, min_ratio: float, draws: int) -> list[dict[str, Any]]:
    from ipa_jax import paper_results, table_figures

    named = {row.name: row.paper for row in table_rows.TRAINED if row.paper}
    claims = []
    for text, ours, theirs in table_rows.CLAIMS:
        paper = None
        if ours in named and theirs in named:
            paper = paper_results.figures(named[ours])["accuracy"] - paper_results.figures(named[theirs])["accuracy"]
        if ours in found and theirs in found:
            apart = table_figures.difference(found[ours], found[theirs], min_ratio, draws=draws)
            claims.append(table_figures.claim(text, apart, paper))
        else:
            absent = " and ".join(name for name in (ours, theirs) if name not in measured)
            claims.append({"claim": text, "verdict": f"not tested: no {absent}", "difference": None, "paper": paper})
    return claims


def _checks(measured: Mapping[str, Mapping], missing: Mapping[str, str]) -> list[str]:
    from ipa_jax import table_figures
    from ipa_jax.table_pages import interval, number

    lines = []
    for name, what in ((table_rows.CONTROL, "shuffled likes"), ("chance", "a coin")):
        if name in measured:
            found = table_figures.at_chance(measured[name])
            told = f"{number(found['accuracy'], 'accuracy')} % (95 % {interval(found['interval'], 'accuracy')})"
            lines.append(f"{'pass' if found['passed'] else 'fail'}: {what} at 50 % within the interval: {told}")
        else:
            lines.append(f"not run: {what} ({missing.get(name, 'not run')})")
    constant = measured["account_constant"]["accuracy"]
    lines.append(f"{'pass' if constant == 0.5 else 'fail'}: an account's constant gives 50 % exactly: {constant:.6f}")
    return lines


def run(args: argparse.Namespace, argv: Sequence[str]) -> None:
    from ipa_jax import table_pages

    human = json.loads(args.human.read_text()) if args.human else None
    remarks = args.records / "remarks.md"
    found, missing, min_ratio = collect(args)
    listed = {row.name for row in table_rows.TRAINED}
    made = document(
        found, missing, min_ratio,
        command=f"python -m ipa_jax.tables {shlex.join(argv)}",
        title="Tables 1 and 2 on " + (f"{args.data_dir.name}" if args.data_dir else "the demo world"),
        extra=[name for name in args.configs or () if table_rows.find(name).name not in listed],
        human=human,
        remarks=remarks.read_text() if remarks.is_file() else "",
    )  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    pages = {"md": table_pages.markdown, "csv": table_pages.comma_separated, "html": table_pages.html}
    files = {args.out / f"tables.{ending}": page(made) for ending, page in pages.items()}
    if args.report:
        files[args.report] = files[args.out / "tables.md"]
    for file, text in files.items():
        temporary = file.with_name(f".{file.name}.tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.rename(file)
    print("\n" + files[args.out / "tables.md"])
    print("written: " + ", ".join(str(file) for file in files))


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value  # a word


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ipa_jax.tables", description=__doc__.split("\n")[0])
    names = ", ".join(row.name for row in table_rows.TRAINED)
    parser.add_argument("--configs", type=lambda text: text.split(","), help=f"rows by comma (default: all; {names}) "
                        "or other files of configs/; full is always there")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3, help="demo worlds, or with --data_dir training seeds")
    parser.add_argument("--first_seed", type=int, default=0, help="of the demo worlds")
    parser.add_argument("--out", type=Path, default=Path("runs/experiments"), help="folder of worlds, runs and pages")
    parser.add_argument("--records", type=Path, help="folder of the runs' records (default: OUT/records); what "
                        "remarks.md there says ends the page")  # fmt: skip
    parser.add_argument("--report", type=Path, help="a copy of the Markdown page")
    parser.add_argument("--data_dir", type=Path, help="a built data set in the place of demo worlds")
    parser.add_argument("--accounts", type=int, default=240, help="of each demo world")
    parser.add_argument("--posts", type=int, default=80, help="of each account")
    parser.add_argument("--size", default="demo", choices=["full", "demo", "tiny"], help="of the models")
    parser.add_argument("--set", type=_field, action="append", default=[], metavar="FIELD=VALUE",
                        help="a field of the config in every run, as init.swin=FILE")  # fmt: skip
    parser.add_argument("--weights", type=Path, help="folder of the peers' converted public weights")
    parser.add_argument("--human", type=Path, help="JSON of ipa_jax.human_study score --json")
    parser.add_argument("--overwrite", action="store_true", help="make runs again whose record is that of another run")
    argv = sys.argv[1:] if argv is None else argv
    args = parser.parse_args(argv)
    args.records, args.set = args.records or args.out / "records", dict(args.set)
    try:
        run(args, argv)
    except (StageError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
