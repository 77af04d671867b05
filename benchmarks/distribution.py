"""Four workers against one, two processes against one, and what a training step adds up over devices.

Run: python -m benchmarks.distribution [--short] [--only extraction build training sums] [--keep FOLDER]

On a drawn world, with the project's own commands, all on this machine:

  extraction  through Beam (extra `beam`) with 1 worker and with 4: the stores' files have the same hashes
  build       without Beam, and through Beam with 1 worker and with 4: the data sets' files have the same hashes
  training    1 process with 2 devices against 2 processes of 1 device each: the losses of each step
  sums        the all-reduces of a step over 2 devices, read from the compiled program

Extraction has random weights at size "tiny" and reads photos in chunks of 256: at least one for each of four workers.
CPU seconds count all processes, and wall seconds mean something only on a free machine. --short takes the light
profile's extractor instead of the paper's four, and a smaller world.
"""

import argparse
import hashlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDS = ("apache_beam",)  # the extra `beam`
PARTS = ("extraction", "build", "training", "sums")
POSTS, SIDE = 128, 48  # of an account; px
BEAM = {1: "runner=FnApiRunner", 4: "runner=FnApiRunner,direct_num_workers=4,direct_running_mode=multi_processing"}
CONFIG = "configs/full.py:tiny"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a small world and a quick extractor")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: all)")
    parser.add_argument("--keep", type=Path, help="a new folder for what is made (default: a temporary one)")
    args = parser.parse_args()
    os.environ |= {"JAX_PLATFORMS": "cpu", "PJRT_NPROC": "16", "PYTHONPATH": str(Path(__file__).parents[1])}

    from benchmarks.timing import machine

    print(machine())
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        accounts = 9 if args.short else 24
        run("demo-world", f"--out={folder}/world", f"--accounts={accounts}", f"--posts={POSTS}", f"--side={SIDE}")
        same = [PART[name](folder, args.short) for name in args.only]
    return 0 if all(same) else 1


def extraction(folder: Path, short: bool) -> bool:
    config = "configs/light.py:tiny" if short else CONFIG
    for workers, options in BEAM.items():
        with timed(f"extraction, Beam, {workers} worker(s)"):
            run("extract", f"--config={config}", f"--raw={folder}/world/raw", f"--out={folder}/store{workers}",
                "--only=all", "--random_weights", f"--beam_pipeline_options={options}")  # fmt: skip
    return compare("  stores", folder / "store1", folder / "store4")


def build(folder: Path, short: bool) -> bool:
    source = (f"--raw={folder}/world/raw", f"--features={folder}/world/features")
    for name, options in {"alone": None, **{f"{workers}": options for workers, options in BEAM.items()}}.items():
        with timed(f"build, {'no Beam' if options is None else f'Beam, {name} worker(s)'}"):
            run("build", f"--config={CONFIG}", *source, f"--data_dir={folder}/data{name}",
                *([] if options is None else [f"--beam_pipeline_options={options}"]))  # fmt: skip
    same = compare("  data sets, Beam", folder / "data1", folder / "data4")
    return compare("  data sets, Beam and none", folder / "data4", folder / "dataalone") and same


def training(folder: Path, short: bool) -> bool:
    """Prints both runs' losses and their largest difference, which must be below float32's rounding of many sums."""
    data = next((place for place in sorted(folder.glob("data*")) if place.is_dir()), None)
    if data is None:
        data = folder / "data"
        run("build", f"--config={CONFIG}", f"--raw={folder}/world/raw", f"--features={folder}/world/features",
            f"--data_dir={data}")  # fmt: skip
    flags = [f"--config={CONFIG}", f"--config.data_dir={data}", "--config.batch.packs=2", "--config.train.epochs=2"]
    with timed("training, 1 process with 2 devices"):
        run("train", *flags, f"--workdir={folder}/one", devices=2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with timed("training, 2 processes with 1 device"):
        more = [f"--workdir={folder}/two", "--processes=2", f"--coordinator=127.0.0.1:{port}"]
        finish([start("train", *flags, *more, f"--process={process}") for process in range(2)])
    one, two = (losses(folder / name) for name in ("one", "two"))
    worst = max(abs(a - b) / abs(a) for a, b in zip(one, two, strict=True))
    print(f"  losses of {len(one)} steps, first {one[0]:.6f} and {two[0]:.6f}, last {one[-1]:.6f} and {two[-1]:.6f}; "
          f"largest relative difference {worst:.1e}")  # fmt: skip
    return worst < 1e-4


def sums(folder: Path, short: bool) -> bool:
    """A process of its own has two devices; nothing is read from `folder`."""
    return subprocess.run([sys.executable, "-c", "from benchmarks import distribution; distribution.show_sums()"],
                          env=environment(2)).returncode == 0  # fmt: skip


def show_sums() -> None:
    """Compiles the tiny step for the devices of this process and prints its sums over them."""
    import jax

    from benchmarks import gpu_program, hlo

    text, parameters = gpu_program.compile_step("full:tiny", "float32", jax.devices(), 4, "train")
    found = hlo.all_reduces(text.as_text())
    print(f"a tiny step over {jax.device_count()} devices: {parameters:,} parameters, {4 * parameters / 1e3:.1f} KB of "
          f"gradients; {sum(one.arrays for one in found)} arrays in {len(found)} all-reduces of "
          f"{sum(one.bytes for one in found) / 1e3:.1f} KB")  # fmt: skip


PART = {"extraction": extraction, "build": build, "training": training, "sums": sums}


def losses(workdir: Path) -> list[float]:
    """The loss of each step that a run logged."""
    rows = [json.loads(line).get("scalars", {}) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [row["train/loss"] for row in rows if "train/loss" in row]


def compare(what: str, one: Path, other: Path) -> bool:
    """Prints whether two folders hold the same files with the same sha256."""
    a, b = hashes(one), hashes(other)
    differ = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
    print(f"{what}: {f'DIFFERENT: {differ}' if differ else f'{len(a)} files, all sha256 equal'}", flush=True)
    return not differ


def hashes(folder: Path) -> dict[str, str]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.suffix != ".lock")
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Prints the CPU and wall seconds of the processes that ended meanwhile."""
    begun, wall = cpu_seconds(), time.monotonic()
    yield
    print(f"{what}: {cpu_seconds() - begun:.1f} CPU s, {time.monotonic() - wall:.1f} s", flush=True)


def cpu_seconds() -> float:
    """Of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def environment(devices: int) -> dict[str, str]:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    return os.environ | {"XLA_FLAGS": flags}


def start(command: str, *arguments: str, devices: int = 1) -> subprocess.Popen:
    line = [sys.executable, "-m", "ipa_jax", command, *arguments]
    return subprocess.Popen(line, env=environment(devices), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(processes: list[subprocess.Popen]) -> None:
    """Waits; prints what a failed process said, and ends."""
    for process in processes:
        said, _ = process.communicate()
        if process.returncode:
            sys.exit(f"error: {' '.join(map(str, process.args))} ended with {process.returncode}:\n{said[-2000:]}")


def run(command: str, *arguments: str, devices: int = 1) -> None:
    finish([start(command, *arguments, devices=devices)])


if __name__ == "__main__":
    sys.exit(main())
