"""What checking a data set costs: seconds and GB per second of `--verify=full` and `--verify=index`, in turns.

Run: python -m benchmarks.verification [--data_dir runs/demo/world0/data] [--rounds 5] [--short]

The files have been read once before the first turn counts, so the disk's speed plays no part. The bound is sha256 of
the same bytes in memory, on one core.
"""

import argparse
import hashlib
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.worlds import drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, help="a data set that `ipa-jax build` wrote (default: a drawn one)")
    parser.add_argument("--rounds", type=int, default=5, help="turns (default 5)")
    parser.add_argument("--short", action="store_true", help="2 turns")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data_dir = args.data_dir or drawn(Path(folder) / "world", accounts=8, posts=20, side=128, depth_side=64)
        measure(data_dir, 2 if args.short else args.rounds)


def measure(data_dir: Path, rounds: int) -> None:
    """Prints the figures of one data set."""

    from benchmarks.timing import in_turns, machine, spread
    from data_builders.dataset import GroupDataset, version_folder
    from data_builders.groups import SPLITS

    def verify(how: str) -> None:
        for split in SPLITS:
            GroupDataset(data_dir, split, verify=how).verify()

    contents = [file.read_bytes() for file in sorted(version_folder(data_dir).iterdir()) if file.is_file()]
    size = sum(map(len, contents))
    seconds = in_turns(
        {
            "--verify=full": lambda _: verify("full"),
            "--verify=index": lambda _: verify("index"),
            "sha256 alone": lambda _: [hashlib.sha256(content).digest() for content in contents],
        },
        rounds,
        time.process_time,
    )
    print(f"{machine()}\n{size / 1e6:.1f} MB; CPU seconds, median (lowest to highest)")
    for name, values in seconds.items():
        print(f"  {name:15} {spread(values, digits=3)}")
    print(f"{size / 1e9 / statistics.median(seconds['--verify=full']):.2f} GB per second of one core")


if __name__ == "__main__":
    main()
