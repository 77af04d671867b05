"""The main job on the demo world, end to end: world -> build -> train -> evaluate -> export -> report.

    python -m ipa_jax demo --out=runs/demo [--configs=basic,full]     what `make demo` runs
    python -m ipa_jax demo --out=runs/seeds --seeds=0,1,2 --configs=...          what `make demo-seeds` runs

Every stage is a command that is printed as it runs and can be run by hand. A stage that ended is kept: the same
command again goes on where it stopped. World seed = training seed; test groups are pooled over the seeds.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ipa_jax.experiments.commands import StageError, command
from third_party_ports.cli import output_folder, whole_number, whole_numbers

if TYPE_CHECKING:
    import polars as pl

CONFIGS = Path(__file__).parents[1] / "configs"
FIGURES = ("accuracy", "accuracy_interval", "plcc", "srcc", "ratio_mse", "pairs", "groups")


def make_world(folder: Path, seed: int, configs: Sequence[str], args: argparse.Namespace) -> None:
    """One demo world: drawn, built, and a model of each config trained, evaluated and exported on it."""
    world, data = folder / "world", folder / "data"
    size = ["--accounts", str(args.accounts), "--posts", str(args.posts), "--side", "48", "--seed", str(seed)]
    command("demo-world", str(world), *size)
    command("build", f"--config=configs/full.py:{args.size}", f"--raw={world}/raw",
            f"--features={world}/features", f"--data_dir={data}")  # fmt: skip
    for name in configs:
        command("train", f"--config=configs/{name}.py:{args.size}", f"--workdir={folder}/{name}",
                f"--config.data_dir={data}", f"--config.seed={seed}")  # fmt: skip


def check_export(folder: Path, name: str) -> None:
    """The export of a run gives the metrics of its results.json in a fresh process. Raises StageError if not."""
    words = ["-m", "ipa_jax", "evaluate", f"--export={folder}/{name}/export", "--split=test", "--json"]
    print(f"\n$ python {shlex.join(words)}", flush=True)
    run = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, text=True)
    if run.returncode:
        raise StageError(f"python {shlex.join(words)}")
    fresh, stored = json.loads(run.stdout), json.loads((folder / name / "results.json").read_text())["test"]
    if any(abs(fresh[figure] - stored[figure]) > 1e-5 for figure in ("accuracy", "plcc", "srcc", "ratio_mse")):
        raise StageError(f"{folder}/{name}/export gives other metrics than the run did")
    print(f"  the same metrics as in training: accuracy {fresh['accuracy']:.4f}")


def pooled_results(folders: dict[str, Path], configs: Sequence[str], seed: int) -> dict:
    """The figures of each config and yardstick and their differences in accuracy, test groups of all worlds pooled."""
    from data_builders.dataset import GroupDataset
    from ipa_jax.baselines import scores as baselines
    from ipa_jax.metrics import split_metrics
    from ipa_jax.metrics.scored_pairs import pool

    yardsticks = {}
    for name, folder in folders.items():
        train, test = (GroupDataset(folder / "data", split, depth=False) for split in ("train", "test"))
        ratio = test.options["pairs"]["min_ratio"]
        for key, scores in baselines.all_scores(test, train, folder / "world", seed=seed).items():
            yardsticks.setdefault(key, {})[name] = scores
    runs = {config: {name: read_scores(folder / config) for name, folder in folders.items()} for config in configs}
    runs, yardsticks = ({key: pool(worlds) for key, worlds in kind.items()} for kind in (runs, yardsticks))

    def figures(scores: "pl.DataFrame") -> dict:
        result = split_metrics.evaluate(scores, ratio, seed=seed)
        return {name: result[name] for name in (*FIGURES, "interval_over")}

    differences = {}
    for ours, theirs in (("full", "basic_retrieval"), ("basic_retrieval", "basic"), ("full", "retrieval_only")):
        tables = runs | yardsticks
        if ours in tables and theirs in tables:
            found = split_metrics.paired_difference(tables[ours], tables[theirs], ratio, seed=seed)
            differences[f"{ours} - {theirs}"] = found["accuracy"]
    judged = {name: figures(scores) for name, scores in yardsticks.items()}
    return {
        "runs": {name: {"test": figures(scores)} for name, scores in runs.items()},
        "yardsticks": {name: found["accuracy"] for name, found in judged.items()},
        "yardstick_figures": judged,
        "differences": differences,
    }


def read_scores(workdir: Path) -> "pl.DataFrame":
    import polars as pl

    return pl.read_parquet(workdir / "scores-test.parquet")


def table(results: dict) -> str:
    """The metric table with the yardsticks, as Markdown; `way` is the share of the way from 50 % to the ceiling."""
    ceiling = results["yardsticks"]["bayes"]
    lines = ["| | accuracy % | 95 % interval | way to the ceiling % | PLCC | SRCC | Ratio MSE |",
             "|---|---:|:---:|---:|---:|---:|---:|"]  # fmt: skip
    rows = {f"**{name}**": run["test"] for name, run in results["runs"].items()} | results["yardstick_figures"]
    for name, row in rows.items():
        low, high = row["accuracy_interval"]
        way = 100 * (row["accuracy"] - 0.5) / (ceiling - 0.5)
        lines.append(
            f"| {name} | {100 * row['accuracy']:.1f} | {100 * low:.1f} to {100 * high:.1f} | {way:.0f} | "
            f"{row['plcc']:.3f} | {row['srcc']:.3f} | {row['ratio_mse']:.2f} |"
        )
    one = next(iter(rows.values()))
    lines.append(f"\n{one['pairs']} test pairs of {one['groups']} groups; intervals over {one['interval_over']}.")
    for name, found in results["differences"].items():
        low, high = (100 * x for x in found["interval"])
        lines.append(f"{name}: {100 * found['difference']:+.1f} points (95 % {low:+.1f} to {high:+.1f}).")
    return "\n".join(lines)


def run(args: argparse.Namespace) -> None:
    began = time.monotonic()
    seeds, configs = args.seeds, args.configs.split(",")
    if missing := [name for name in configs if not (CONFIGS / f"{name}.py").is_file()]:
        raise ValueError(f"--configs: there is no configs/{missing[0]}.py")
    single = len(seeds) == 1
    folders = {f"seed{seed}": args.out if single else args.out / f"seed{seed}" for seed in seeds}
    for seed, folder in zip(seeds, folders.values(), strict=True):
        make_world(folder, seed, configs, args)
        for name in configs if single else ():
            check_export(folder, name)

    results = pooled_results(folders, configs, seeds[0])
    results |= {"seed": seeds[0] if single else seeds, "seconds": round(time.monotonic() - began, 1)}
    temporary = args.out / ".results.json.tmp"
    temporary.write_text(json.dumps(results, indent=2))
    temporary.rename(args.out / "results.json")
    (args.out / "table.md").write_text(table(results) + "\n")
    print("\n" + table(results))
    if single:
        from ipa_jax.leakage import checklist
        from ipa_jax.report.page import write_report

        report = args.out / "report.html"
        workdirs = {name: args.out / name for name in configs}
        lines = checklist.make(args.out / "data", args.out / configs[0])
        checklist.show(lines, f"Leakage checklist of {args.out}/data and {args.out}/{configs[0]}")
        write_report(report, workdirs, args.out / "data", results["yardstick_figures"], checklist.as_json(lines))
        print(f"\nreport: {report}")
    print(f"results: {args.out / 'results.json'} ({results['seconds']:.0f} s)")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ipa_jax demo", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=output_folder, required=True, help="folder of all that is made")
    parser.add_argument("--configs", default="basic,full", help="files of configs/, by comma")
    parser.add_argument("--seeds", type=whole_numbers, default=[0], help="world and training seeds, by comma")
    parser.add_argument("--accounts", type=whole_number(1), default=240)
    parser.add_argument("--posts", type=whole_number(1), default=80, help="of each account")
    parser.add_argument("--size", default="demo", choices=["demo", "tiny"], help="of the models")
    try:
        run(parser.parse_args(argv))
    except (StageError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
