"""Kills a training run with SIGKILL at random moments, restarts it each time, and compares it with an undisturbed run.

Run: python -m benchmarks.kill_resume --config=configs/full.py:demo --data_dir=DATA --out=runs/kills [--kills 10]
     [more flags of ipa_jax.main, such as --config.train.log_every=10], or --short

A moment is a step and a delay: the process is killed `delay` seconds after the console shows that step (step 0: after
the process starts). The steps are drawn from the whole run, one from each of as many equal parts as there are kills, so
that every phase is hit: start, compilation, steps, evaluations, saves, export.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from benchmarks.worlds import drawn

_LINE = re.compile(r"\[(\d+)\] ")  # ConsoleWriter's
COMPARED = ("steps", "best_step", "validation", "test")  # of results.json


@dataclass(frozen=True)
class Moment:
    """When to kill, and by which signal: `delay` seconds after the console shows `step` or a later one; step 0: after
    the start."""

    step: int
    delay: float
    signal: int = signal.SIGKILL


@dataclass(frozen=True)
class Kill:
    """What a kill met: the last step on the console (0: none), and the checkpoint to resume from (or None)."""

    moment: Moment
    told: int
    checkpoint: int | None
    ended: bool  # the run was over before the moment came


def draw_moments(kills: int, steps: int, delay: float, seed: int) -> list[Moment]:
    """Draws a moment in each of `kills` equal parts of a run of `steps` steps, with delays in [0, delay) seconds."""
    import numpy as np

    rng = np.random.default_rng(seed)
    edges = (np.arange(kills) + rng.random(kills)) * (steps + 1) / kills
    return [Moment(int(step), float(wait)) for step, wait in zip(edges, rng.random(kills) * delay, strict=True)]


def killed_run(
    command: list[str], workdir: Path, moments: list[Moment], env: dict[str, str] | None = None
) -> list[Kill]:
    """Starts `command` and kills it, once per moment, then runs it to its end.

    Raises CalledProcessError if it fails by itself.
    """
    kills = []
    for number, moment in enumerate(moments, 1):
        kills.append(_kill(command, workdir, moment, env))
        print(f"{number} of {len(moments)}: {kills[-1]}", flush=True)
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    return kills


def _kill(command: list[str], workdir: Path, moment: Moment, env: dict[str, str] | None) -> Kill:
    told = 0
    with subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        timer = threading.Timer(moment.delay, process.send_signal, (moment.signal,))
        if moment.step == 0:
            timer.start()
        tail = []
        for line in process.stderr:  # read to the end, or the process would wait for a full pipe
            tail = [*tail[-20:], line]
            if found := _LINE.search(line):
                told = int(found[1])
                if told >= moment.step and not timer.is_alive() and not timer.finished.is_set():
                    timer.start()
        process.wait()
        timer.cancel()
    if process.returncode > 0 and process.returncode != 128 + moment.signal:
        raise subprocess.CalledProcessError(process.returncode, command, stderr="".join(tail))
    steps = [int(folder.name) for folder in (workdir / "checkpoints").glob("*") if folder.name.isdigit()]
    return Kill(moment, told, max(steps, default=None), process.returncode == 0)


def differences(undisturbed: Path, killed: Path) -> list[str]:
    """Names what is not exactly equal in two finished workdirs: metrics, scores, exported parameters, metrics.jsonl."""
    import numpy as np
    import polars as pl
    from safetensors.numpy import load_file

    results = [json.loads((run / "results.json").read_text()) for run in (undisturbed, killed)]
    found = [f"results.json: {name}" for name in COMPARED if results[0][name] != results[1][name]]
    for name in ("scores-validation.parquet", "scores-test.parquet"):
        tables = [pl.read_parquet(run / name) for run in (undisturbed, killed)]
        found += [] if tables[0].equals(tables[1]) else [name]
    exports = [load_file(run / "export/model.safetensors") for run in (undisturbed, killed)]
    if exports[0].keys() != exports[1].keys():
        found.append("names in model.safetensors")
    else:
        found += [leaf for leaf in exports[0] if not np.array_equal(exports[0][leaf], exports[1][leaf])]
    rows = [logged(run) for run in (undisturbed, killed)]
    return found + ([] if rows[0] == rows[1] else ["metrics.jsonl"])


def logged(workdir: Path) -> list[tuple[int, dict]]:
    """Returns (step, scalars) of each line of metrics.jsonl, without times and rates."""
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [
        (row["step"], {k: v for k, v in row["scalars"].items() if not k.endswith("per_second")})
        for row in rows
        if "scalars" in row
    ]


def _table(kills: list[Kill], steps: int) -> None:
    from rich.console import Console
    from rich.table import Table

    columns = ["kill", "after the console shows step", "delay s", "last step shown", "checkpoint to resume from"]
    table = Table(*columns, title=f"SIGKILL in a run of {steps} steps")
    for number, kill in enumerate(kills, 1):
        told = "was over" if kill.ended else str(kill.told)
        table.add_row(str(number), str(kill.moment.step), f"{kill.moment.delay:.1f}", told, str(kill.checkpoint))
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", help="FILE:SIZE")
    parser.add_argument("--data_dir", help="the data set that `ipa-jax build` wrote")
    parser.add_argument("--out", type=Path, help="folder for the workdirs undisturbed/ and killed/")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--delay", type=float, default=5.0, help="longest delay after the step, seconds")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--short", action="store_true", help="one kill in a tiny run on a drawn world, alone")
    args, more = parser.parse_known_args()
    if not args.short and not (args.config and args.data_dir and args.out):
        parser.error("give --config, --data_dir and --out, or --short")
    if not args.short:
        return compare(args, more)
    with tempfile.TemporaryDirectory() as name:
        args.config, args.kills, args.delay, args.out = "full:tiny", 1, 1.0, Path(name) / "runs"
        args.data_dir = drawn(Path(name) / "world", accounts=4, posts=30, side=48, depth_side=48)
        return compare(args, ["--config.train.epochs=8", *more])  # some 16 steps


def compare(args: argparse.Namespace, more: list[str]) -> int:
    """Runs both and prints the table; returns 1 where they differ."""

    def command(workdir: Path) -> list[str]:
        flags = [f"--config={args.config}", f"--config.data_dir={args.data_dir}", f"--workdir={workdir}", *more]
        return [sys.executable, "-m", "ipa_jax", "train", *flags]

    undisturbed, killed = args.out / "undisturbed", args.out / "killed"
    if killed.exists():
        print(f"error: {killed} already exists: delete it, or choose another --out", file=sys.stderr)
        return 1
    subprocess.run(command(undisturbed), check=True)  # does nothing if it is finished
    results = json.loads((undisturbed / "results.json").read_text())
    moments = draw_moments(args.kills, results["steps"], args.delay, args.seed)
    kills = killed_run(command(killed), killed, moments)
    _table(kills, results["steps"])
    found = differences(undisturbed, killed)
    again = json.loads((killed / "results.json").read_text())
    for name in ("accuracy", "plcc", "srcc", "ratio_mse"):
        print(f"test {name}: undisturbed {results['test'][name]!r}, killed {again['test'][name]!r}")
    print(f"DIFFERENT: {', '.join(found)}" if found else "metrics, scores, parameters and log are equal, bit for bit")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
