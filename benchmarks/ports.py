"""Measures images per second and peak memory of each port, and of the same network in PyTorch if there is one.

Run: python -m benchmarks.ports [NAME ...] [--short] [--repeats 5] [--batch N] [--cpu-seconds] [--json FILE]
       [--markdown]

PyTorch's side needs the extra `bench`: pip install -e '.[bench]'. Add --extra-index-url
https://download.pytorch.org/whl/cpu to get PyTorch's CPU build. Without PyTorch, the ports are measured alone.
Both sides run in one process, with the same threads, inputs and random weights, and their calls alternate. Compiling
and warming up are not counted. PyTorch runs eagerly, in the faster of its two memory layouts. Memory is the peak of a
process that runs one side only (not with --short): of its resident set, with imports and compilation, or of the GPU.
Outputs that differ by more than 1e-3 are a failure. On a machine with other work, take --cpu-seconds and one core
(`taskset -c 0`): PyTorch's threads spend CPU seconds on waiting for each other. On a GPU, float32 means float32 (no
TF32), and everything is measured in bfloat16 too, with the share of the device's peak that the matrix products and
convolutions reach.
"""

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.port_rows import ROWS
from third_party_ports.cli import new_file
from third_party_ports.files import write_text

LIMIT = 1e-3  # relative error of float32 outputs; different networks differ by far more
PACKAGES = ("torch", "torchvision", "timm")
COLUMNS = (
    "network",
    "input",
    "dtype",
    "JAX /s",
    "PyTorch /s",
    "JAX / PyTorch",
    "GB, JAX / PyTorch",
    "error",
    "GFLOP",
    "of peak",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(ROWS)}; default: all")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls per side")
    parser.add_argument("--batch", type=int, help="inputs per call; default: a few, by network and device")
    parser.add_argument(
        "--short", action="store_true", help="one input, two repeats, no memory, only networks with a counterpart"
    )
    parser.add_argument("--cpu-seconds", action="store_true", help="CPU seconds of the process, not time passed")
    parser.add_argument("--json", type=new_file, help="file for everything that was measured")
    parser.add_argument("--markdown", action="store_true", help="print the table as markdown")
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in ROWS]
    if unknown:
        parser.error(f"no network is called {', '.join(unknown)}; choose from {', '.join(ROWS)}")
    if args.repeats < 1 or (args.batch or 1) < 1:
        parser.error("--repeats and --batch must be at least 1")

    if args.short:
        args.batch, args.repeats = args.batch or 1, min(args.repeats, 2)
        args.names = args.names or [name for name, row in ROWS.items() if row.torch is not None]

    from tqdm import tqdm

    lacking = [package for package in PACKAGES if find_spec(package) is None]
    if lacking:
        print(f"Not installed: {', '.join(lacking)}. Only JAX is measured. "
              "For PyTorch's side: pip install -e '.[bench]'", file=sys.stderr)  # fmt: skip
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5:  # it slows PyTorch's spinning threads more than JAX's
        print(f"Load average {os.getloadavg()[0]:.1f}: other processes use this machine and change the ratios. "
              "Measure when it is idle.", file=sys.stderr)  # fmt: skip
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # both sides share a GPU
    results = []
    for name in tqdm(args.names or list(ROWS), unit="network", leave=False, disable=None):
        with_torch = not lacking and ROWS[name].torch is not None
        results += _measured(name, args.batch, args.repeats, with_torch, not args.short, args.cpu_seconds)
    if args.json:
        _write(args.json, results)
    print(f"{results[0].get('device', '?')}, {results[0].get('threads', '?')} threads, {_versions()}\n")
    _print(results, args.markdown)
    for result in results:
        if result.get("failed"):
            print(f"{result['name']}, {result['dtype']}: {result['failed']}", file=sys.stderr)
    sys.exit(any(result.get("failed") for result in results))


def _measured(
    name: str, batch: int | None, repeats: int, with_torch: bool, memory: bool, cpu_seconds: bool
) -> list[dict[str, Any]]:
    """Returns a result per dtype: float32, and on a GPU bfloat16."""
    results = []
    for dtype in ("float32", "bfloat16"):
        result = {"name": name, "dtype": dtype, "alone": ROWS[name].alone}
        results.append(result)
        frameworks = ("jax", "torch") if with_torch else ("jax",)
        try:
            result |= _in_own_process(name, frameworks, batch, repeats, dtype, None, cpu_seconds)
            result["memory"] = {"jax": result["peak_bytes"]} if memory else {}
            if with_torch and memory:
                for side in frameworks:
                    alone = _in_own_process(name, (side,), result["batch"], 1, dtype, result["layout"])
                    result["memory"][side] = alone["peak_bytes"]
        except BrokenProcessPool:
            result["failed"] = "its process was killed; if it ran out of memory, give a smaller --batch"
        except Exception as error:
            result["failed"] = f"{type(error).__name__}: {error}"
        if dtype == "float32" and not result.get("error", 0) <= LIMIT:
            result["failed"] = f"the outputs differ by {result['error']:.1e}: not the same network"
        if result.get("platform") != "gpu":
            break
    return results


def _in_own_process(*arguments: Any) -> dict[str, Any]:
    """Runs `port_timing.measure` in a new process, where no other network is compiled, cached or in memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, *arguments).result()


def _measure(*arguments: Any) -> dict[str, Any]:
    from benchmarks.port_timing import measure

    return measure(*arguments)


def cells(result: dict[str, Any]) -> dict[str, str]:
    """Formats a result as cells by column.

    A rate is that of the median call, with those of the slowest and the fastest one. The ratio is the median over the
    turns, above 1 if JAX is faster.
    """
    row = ROWS[result["name"]]
    found = {"network": row.what, "dtype": result["dtype"]}
    if "failed" in result:
        return found | {"JAX /s": "failed, see below"}
    batch, seconds, memory = result["batch"], result["seconds"], result["memory"]
    sides = row.shape[:-1] if len(row.shape) == 3 else row.shape
    found["input"] = " x ".join(map(str, (batch, *sides)))
    found["JAX /s"] = _rate(batch, seconds["jax"])
    found["PyTorch /s"] = (
        _rate(batch, seconds["torch"]) if "torch" in seconds else "none" if row.alone else "not installed"
    )
    if "torch" in seconds:
        turns = zip(seconds["jax"], seconds["torch"], strict=True)
        found["JAX / PyTorch"] = f"{median(theirs / ours for ours, theirs in turns):.2f}"
        found["error"] = f"{result['error']:.0e}"
    found["GB, JAX / PyTorch"] = " / ".join(f"{amount / 1e9:.1f}" for amount in memory.values())
    found["GFLOP"] = f"{result['flop'] / 1e9:.3g}"
    if result["peak_flops"]:
        share = result["flop"] * batch / median(seconds["jax"]) / result["peak_flops"]
        found["of peak"] = f"{100 * share:.0f} %"
    return found


def _rate(batch: int, seconds: list[float]) -> str:
    middle, low, high = (batch / value for value in (median(seconds), max(seconds), min(seconds)))
    return f"{middle:.3g} ({low:.3g} - {high:.3g})"


def _print(results: list[dict[str, Any]], markdown: bool) -> None:
    """Prints the table without empty columns, then the rows' remarks."""
    rows = [cells(result) for result in results]
    filled = [column for column in COLUMNS if any(row.get(column) for row in rows)]
    if markdown:
        for row in (filled, ["---"] * len(filled), *([row.get(column, "") for column in filled] for row in rows)):
            print(f"| {' | '.join(row)} |")
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table(*filled)
        for row in rows:
            table.add_row(*(row.get(column, "") for column in filled))
        console = Console()
        console.width = max(console.width, 140)  # a wrapped table is harder to read than a scrolled one
        console.print(table)
    print()
    for row in {result["name"]: ROWS[result["name"]] for result in results}.values():
        if row.alone:
            print(f"{row.what}: no counterpart, {row.alone}.")


def _write(path: Path, results: list[dict[str, Any]]) -> None:
    write_text(path, json.dumps({"versions": _versions(), "results": results}, indent=1) + "\n")


def _versions() -> str:
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("jax", *PACKAGES) if find_spec(name))


if __name__ == "__main__":
    main()
