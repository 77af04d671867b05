"""How long each command takes to show its help, beside Python itself.

Run: python -m benchmarks.start [NAME ...] [--turns 5] [--short]

Each `ipa-jax NAME --help` and the bare `ipa-jax --help` is a process of its own. They take turns with the two
references: Python that does nothing, which is the bound, and Python that loads numpy. A first turn fills the disk's
cache and does not count. On a busy machine look at the CPU seconds.
"""

import argparse
import statistics
import subprocess

from benchmarks.timing import Ran, machine, program, spread
from ipa_jax.program import COMMANDS

GOALS = {"ipa-jax": 0.5}  # seconds; all others:
GOAL = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *COMMANDS], help="commands (default: all)")
    parser.add_argument("--turns", type=int, default=5, help="turns that count (default 5)")
    parser.add_argument("--short", action="store_true", help="one turn")
    args = parser.parse_args()

    starts = {"python, nothing": ("-c", "pass"), "python, numpy": ("-c", "import numpy")}
    starts["ipa-jax"] = ("-m", "ipa_jax", "--help")
    starts |= {f"ipa-jax {name}": ("-m", "ipa_jax", name, "--help") for name in args.names or COMMANDS}
    found: dict[str, list[Ran]] = {name: [] for name in starts}
    for turn in range(1 + (1 if args.short else args.turns)):
        for name, arguments in starts.items():
            ran = program(*arguments, check=True, stdout=subprocess.DEVNULL)
            if turn:
                found[name].append(ran)

    print(f"{machine()}\nseconds until `--help` is shown, median (lowest to highest)\n{'':24} {'CPU':22} on the clock")
    missed = []
    for name, turns in found.items():
        seconds = [ran.seconds for ran in turns]
        print(f"{name:24} {spread([ran.cpu for ran in turns], digits=2):22} {spread(seconds, digits=2)}")
        if statistics.median(seconds) > GOALS.get(name, GOAL):
            missed.append(name)
    print(f"under {GOAL} s each, `ipa-jax --help` under {GOALS['ipa-jax']} s: missed by {', '.join(missed) or 'none'}")


if __name__ == "__main__":
    main()
