"""Tables 1 and 2 with every row: trains, evaluates, and sets ours beside the paper's.

    python -m ipa_jax tables --out=runs/experiments --records=docs/runs/tables --seeds=3           demo worlds, pooled
    python -m ipa_jax tables --data_dir=DATA --size=full --configs=full,basic --seeds=3 --set init.swin=FILE ...

A run that is done is never made again: its record is taken. So the same command goes on where it stopped, also on
another machine that has the records alone. Writes OUT/tables.md, .csv and .html, and --report, a copy of the first.
"""

import argparse
import ast
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ipa_jax.experiments import table_rows
from ipa_jax.experiments.commands import StageError
from third_party_ports.cli import new_file, output_folder, whole_number


def runs_of(row: table_rows.Row, args: argparse.Namespace) -> list:
    """The runs of a row, one a seed: a demo world each, or training seeds of one data set."""
    from ipa_jax.experiments.runs import BuiltData, Run, World

    fields = args.set | dict(row.fields) | own_weights(row, args)
    if args.data_dir:
        data = BuiltData(args.data_dir)
        return [Run(row.name, row.config, fields, data, seed, args.size) for seed in range(args.seeds)]
    runs, full = [], table_rows.FULL
    for number in range(args.seeds):
        world = World(args.first_seed + number, args.accounts, args.posts)
        resnet = Run(full.name, full.config, args.set, world.next, size=args.size) if row.other_resnet else None
        runs.append(Run(row.name, row.config, fields, world, size=args.size, resnet=resnet))
    return runs


def own_weights(row: table_rows.Row, args: argparse.Namespace) -> dict[str, str]:
    """init.peer of a peer that is trained at full size: the public weights of its own, where --weights has them."""
    from data_builders.features.weight_files import weights_path
    from ipa_jax.peers.zero_shot import NAMES

    name = (row.config or "").removesuffix("_tuned")
    if args.size != "full" or not args.weights or name not in NAMES or "init.peer" in args.set:
        return {}
    file = weights_path(str(args.weights), NAMES[name])
    return {"init.peer": str(file)} if file.is_file() else {}


def unfit(row: table_rows.Row, args: argparse.Namespace) -> str | None:
    """Why a row cannot be trained on this data and with these weights, None where it can."""
    from data_builders.options import differences
    from ipa_jax.training.preflight import PreflightError, check_weights

    if reason := row.missing():
        return reason
    if args.data_dir and row.other_resnet and not args.set.get("init.resnet"):
        return "needs --set init.resnet=FILE"
    config, full = (runs_of(each, args)[0].resolved for each in (row, table_rows.FULL))
    if args.data_dir and (other := differences(full.data.to_dict(), config.data.to_dict(), "data")):
        return f"needs a data set built with {', '.join(name for name, _, _ in other)}"
    try:
        check_weights(config)
    except PreflightError as error:
        return str(error)
    return None


def require_known(names: Sequence[str]) -> None:
    """Raises ValueError for a name that was typed and is no file of configs/, nor a row made with one."""
    if unknown := [repr(name) for name in names if table_rows.find(name).missing()]:
        rows = ", ".join(row.name for row in table_rows.TRAINED)
        raise ValueError(f"--configs: {', '.join(unknown)}: no such row, nor file of configs/; rows are {rows}")


def require_data(args: argparse.Namespace) -> None:
    """Raises ValueError where the full model, and so every row, cannot be trained on --data_dir."""
    from ipa_jax.training.preflight import PreflightError, check_data

    config = runs_of(table_rows.FULL, args)[0].resolved.copy_and_resolve_references()
    config.data_dir = str(args.data_dir)
    try:
        check_data(config)
    except PreflightError as error:
        raise ValueError(f"--data_dir, --size={args.size}: {error} (in a table: --set FIELD=VALUE)") from error


def choose(args: argparse.Namespace) -> tuple[list[table_rows.Row], dict[str, str]]:
    """The rows to train, the full model first, and name -> why it is left out of the others that were asked for."""
    require_known(args.configs or ())
    rows = [table_rows.find(name) for name in args.configs] if args.configs else list(table_rows.TRAINED)
    rows = list({row.name: row for row in (table_rows.FULL, *rows)}.values())
    skipped = {row.name: "not asked for" for row in table_rows.TRAINED if row not in rows}
    for row in rows:
        if reason := unfit(row, args):
            if row is table_rows.FULL:  # what every other row is compared with
                raise ValueError(f"{row.name}: {reason} (in a table: --set init.NAME=FILE)")
            skipped[row.name] = reason
    for name, reason in skipped.items():
        if reason != "not asked for":
            print(f"left out: {name} ({reason})")
    return [row for row in rows if row.name not in skipped], skipped


def stored_row(row: table_rows.Row, args: argparse.Namespace) -> dict:
    """Run -> record of a row whose every run has one, {} for any other."""
    from ipa_jax.experiments import runs as experiments
    from ipa_jax.experiments.records import RecordError

    try:
        found = {run: experiments.stored(run, args.records) for run in runs_of(row, args)}
    except RecordError:
        return {}
    return {} if None in found.values() else found


def no_weights(name: str, folder: Path | None) -> str | None:
    """Why a peer's public weights are not scored, None where they are.

    Raises WeightsError for a file of another network: now, and not when hours of training are over.
    """
    from ipa_jax.peers import zero_shot

    if reason := zero_shot.missing(name, folder):
        print(f"left out: zero_shot_{name} ({reason})")
        return reason.split(";")[0]
    zero_shot.load(name, folder)
    return None


def human_score(file: Path, data_dir: Path | None) -> dict[str, Any]:
    """What ipa_jax.human_study score --json gave.

    Raises ValueError for anything else, another split, nobody, and a study of another data set than data_dir.
    """
    numbers = {"answers": int, "mean": float, "trimmed_mean": float | None, "mean_interval": list | None,
               "trimmed_mean_interval": list | None, "participants": list, "split": str, "data": str,
               "digest": str}  # fmt: skip
    try:
        score = json.loads(file.read_text())
        if score["participants"] == []:
            raise ValueError("no participant finished")
        if wrong := [name for name, kind in numbers.items() if not isinstance(score[name], kind)]:
            raise ValueError(f"{', '.join(wrong)}: of another type")
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"--human: {file} is not what ipa_jax.human_study score --json prints ({error})") from error
    if score["split"] != "test":
        raise ValueError(f"--human: {file} is of split {score['split']}, the other rows of test: serve --split test")
    if data_dir:
        from data_builders.dataset import GroupDataset
        from ipa_jax.human_study.pairs import digest

        if score["digest"] != digest(GroupDataset(data_dir, "test", depth=False)):
            raise ValueError(f"--human: {file} is of a study on {score['data']}, the other rows are of {data_dir}")
    return score


def collect(args: argparse.Namespace) -> tuple[dict[str, dict], dict[str, str], float]:
    """(row name -> table_figures.Runs, row name -> why there is none, data.pairs.min_ratio)."""
    from ipa_jax.experiments import reference_rows
    from ipa_jax.experiments import runs as experiments

    if args.data_dir:
        require_data(args)
    rows, missing = choose(args)
    absent = {name: reason for name in table_rows.ZERO_SHOT if (reason := no_weights(name, args.weights))}
    runs = {row.name: runs_of(row, args) for row in rows}
    full = runs[table_rows.FULL.name]
    scored = {run: full[0] if args.data_dir else run for run in full}  # one data set: what is not trained, once

    def measure(run, workdir, data_dir) -> dict:
        if run in scored.values():  # while its backbone is at hand
            reference_rows.yardsticks(run, args.out, args.records, overwrite=args.overwrite)
        return {}

    everything = [run for of_row in runs.values() for run in of_row]
    records = experiments.run(everything, args.out, args.records, overwrite=args.overwrite, measure=measure)
    for row in table_rows.TRAINED:  # rows that were not asked for keep their records
        if missing.get(row.name) == "not asked for" and (there := stored_row(row, args)):
            runs[row.name], records = list(there), records | there
            del missing[row.name]
    key = lambda run: f"{run.world.name}/{run.training_seed}"  # noqa: E731
    found = {name: {key(run): (run.world.name, records[run]) for run in of_row} for name, of_row in runs.items()}
    for run, source in scored.items():
        marks = reference_rows.yardsticks(source, args.out, args.records, overwrite=args.overwrite)
        for name in table_rows.ZERO_SHOT:
            if name not in absent:
                record = reference_rows.zero_shot(
                    name, source, args.weights, args.out, args.records, overwrite=args.overwrite
                )
                marks[f"zero_shot_{name}"] = record
        for name, record in marks.items():
            found.setdefault(name, {})[key(run)] = (run.world.name, record)
    missing |= {f"zero_shot_{name}": reason for name, reason in absent.items()}
    return found, missing, full[0].resolved.data.pairs.min_ratio


def run(args: argparse.Namespace, argv: Sequence[str]) -> None:
    """Makes what is missing, then writes the pages. Raises ValueError, OSError before anything is run, StageError."""
    from ipa_jax.experiments import pages as table_pages
    from ipa_jax.experiments import table_page

    human = human_score(args.human, args.data_dir) if args.human else None
    remarks = args.records / "remarks.md"
    found, missing, min_ratio = collect(args)
    listed = {row.name for row in table_rows.TRAINED}
    made = table_page.document(
        found, missing, min_ratio,
        command=f"python -m ipa_jax tables {shlex.join(argv)}",
        title="Tables 1 and 2 on " + (f"{args.data_dir.name}" if args.data_dir else "the demo world"),
        extra=[name for name in args.configs or () if table_rows.find(name).name not in listed],
        human=human,
        remarks=remarks.read_text() if remarks.is_file() else "",
    )  # fmt: skip
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
    parser = argparse.ArgumentParser(prog="python -m ipa_jax tables", description=__doc__.split("\n")[0])
    names = ", ".join(row.name for row in table_rows.TRAINED)
    parser.add_argument("--configs", type=lambda text: text.split(","), help=f"rows by comma (default: all; {names}) "
                        "or other files of configs/; full is always there")  # fmt: skip
    parser.add_argument("--seeds", type=whole_number(1), default=3, help="how many demo worlds, or with "
                        "--data_dir training seeds")  # fmt: skip
    parser.add_argument("--first_seed", type=whole_number(0), default=0, help="of the demo worlds")
    parser.add_argument("--out", type=output_folder, default="runs/experiments", help="folder of worlds, runs and "
                        "pages")  # fmt: skip
    parser.add_argument("--records", type=output_folder, help="folder of the runs' records (default: OUT/records); "
                        "what remarks.md there says ends the page")  # fmt: skip
    parser.add_argument("--report", type=new_file, help="a copy of the Markdown page")
    parser.add_argument("--data_dir", type=Path, help="a built data set in the place of demo worlds")
    parser.add_argument("--accounts", type=whole_number(1), default=240, help="of each demo world")
    parser.add_argument("--posts", type=whole_number(1), default=80, help="of each account")
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
