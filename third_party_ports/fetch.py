"""Downloads published checkpoints and converts them.

    ipa-jax fetch NAME... | all [--out weights]

A file with a direct link is downloaded into the folder under its published name, checked against its published size
and sha256, and converted to NAME.safetensors (NAME.json for m2_vocab). If the download is cut, run the command again:
it resumes. For a file without a direct link, the command names the page, the file and what to run next. If you put such
a file into the folder under its published name, the command converts it. A file that an installed package brings is
taken from there. Files that are converted already stay as they are. If the first server's name cannot be looked up,
there is no network, and no other server is asked.

The output always ends with a summary, also after Ctrl-C. The exit status is 1 if a file with a direct link could not be
downloaded or a file could not be converted.
"""

import sys
from contextlib import nullcontext, suppress
from pathlib import Path

from third_party_ports.checkpoints import zoo
from third_party_ports.checkpoints.checkpoint import Checkpoint
from third_party_ports.cli import DONE, FAILED, Parser, command, fail


@command(resumes=True)
def main(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    rows = zoo.CHECKPOINTS.values()
    lines = [f"  {row.name:<23} {row.file}, {row.size}{_how(row)}" for row in rows]
    parser = Parser("fetch", __doc__, epilog="\n".join(["names:", *lines]))
    parser.add_argument(
        "names", nargs="+", metavar="NAME", choices=("all", *zoo.CHECKPOINTS), help="a name of the list below, or all"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("weights"), metavar="FOLDER", help="where the files go (default: weights)"
    )
    parser.add_argument(
        "--base_url",
        metavar="URL",
        help="take the files from here, where they have their published names",
    )
    given = parser.parse_args(argv)
    names = list(zoo.CHECKPOINTS) if "all" in given.names else list(dict.fromkeys(given.names))

    from third_party_ports import files
    from third_party_ports.checkpoints import fetching

    outcomes: list[fetching.Outcome] = []
    try:
        with suppress(OSError):  # what cannot be made is named for each file
            given.out.mkdir(parents=True, exist_ok=True)
        with files.lock(given.out) if given.out.is_dir() else nullcontext():
            for name in names:
                first = next((outcome for outcome in outcomes if outcome.network != "unused"), None)
                offline = first.text if first and first.network == "absent" else None
                outcomes.append(fetching.fetch(zoo.checkpoint(name), given.out, given.base_url, offline))
                print(f"{name}: {outcomes[-1].text}", flush=True)
    except BlockingIOError as error:
        return fail(error)
    finally:
        for state in ("ready", "by hand", "failed"):
            if found := [outcome.name for outcome in outcomes if outcome.state == state]:
                print(f"{len(found)} {state}: {', '.join(found)}")
        if left := names[len(outcomes) :]:
            print(f"{len(left)} not tried: {', '.join(left)}")
    return FAILED if any(outcome.state == "failed" for outcome in outcomes) else DONE


def _how(row: Checkpoint) -> str:
    """Where a file comes from that has no direct link, for the list of names."""
    if row.package:
        return f", in the package {row.package}"
    return "" if row.url else ", no direct link"


if __name__ == "__main__":
    sys.exit(main())
