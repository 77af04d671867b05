"""Downloads published checkpoints and converts them.

    python -m ipa_jax fetch NAME... | all [--out weights]

A file with a direct public link is downloaded into the folder under its published name (a cut download goes on where
it stopped, also in a later run), checked against its published size and sha256, and converted to NAME.safetensors
(m2_vocab.json). For a file behind a form or a drive folder the command tells the page, the file's name and what to
run next; put into the folder by hand, it is converted too. What is converted already is left alone. If the first
server's name is not known, there is no network: no other is asked.

A summary ends the output in every case, also of Ctrl-C. The exit status is 1 if a file with a direct link could not be
had, or a file that is there could not be converted.
"""

import sys
from pathlib import Path
from typing import Literal, NamedTuple

from third_party_ports.checkpoints import zoo
from third_party_ports.checkpoints.checkpoint import Checkpoint
from third_party_ports.cli import Parser


class Outcome(NamedTuple):
    """What became of a row, in a word and in full; "failed" if it ought to have been converted and is not."""

    name: str
    state: Literal["ready", "by hand", "failed"]
    text: str
    network: Literal["unused", "used", "absent"] = "unused"


def fetch(row: Checkpoint, folder: Path, base_url: str | None = None, offline: str | None = None) -> Outcome:
    """One row, as far as it can be had.

    Args:
      base_url: of a folder that holds the published files, in place of row.url.
      offline: why no server can be reached, where that is known: none is asked then.
    """
    from third_party_ports.checkpoints.download import DownloadError, UnknownHostError, download
    from third_party_ports.checkpoints.weights import WeightsError

    out = folder / f"{row.name}{'.safetensors' if row.module else '.json'}"
    source = folder / row.file
    if source.parent != folder or out.parent != folder:
        raise ValueError(f"zoo: {row.name}: {row.file!r} is not the bare name of a file")
    url = f"{base_url.rstrip('/')}/{row.file}" if base_url else row.url
    network: Literal["unused", "used"] = "unused"
    try:
        if out.exists():
            return Outcome(row.name, "ready", f"{out} is there already; remove it to fetch it again")
        if url is None and not source.exists():
            return Outcome(row.name, "by hand", by_hand(row, source, out))
        if url is None:
            return Outcome(row.name, "ready", converted(row, source, out))
        if offline and not source.exists():
            return Outcome(row.name, "failed", f"not tried: {offline}")
        network = "unused" if source.exists() else "used"
        folder.mkdir(parents=True, exist_ok=True)
        digest = download(url, source, size=row.bytes, sha256=row.sha256 or "")
        known = "as published" if row.sha256 else "nobody published one: note it"
        text = f"{converted(row, source, out)}; sha256 of {row.file}: {digest} ({known})"
        return Outcome(row.name, "ready", text, network)
    except WeightsError as error:
        return Outcome(row.name, "failed", f"{error}\n  Get the file anew: {row.page}", network)
    except UnknownHostError as error:
        return Outcome(row.name, "failed", str(error), "absent")
    except DownloadError as error:
        text = f"{error} Or download it with a browser into {folder}: {row.page}"
        return Outcome(row.name, "failed", text, network)
    except OSError as error:  # a full disk, a folder that cannot be written
        text = f"{source}: {error}. Make room, or give another folder with --to"
        return Outcome(row.name, "failed", text, network)


def by_hand(row: Checkpoint, source: Path, out: Path) -> str:
    """What to do for a file without a direct link."""
    return (
        f"no direct link. Download {row.file} ({row.size}) by way of\n    {row.page}\n"
        f"  and run\n    python -m ipa_jax convert {row.name} {source} --out {out}"
    )


def converted(row: Checkpoint, source: Path, out: Path) -> str:
    """Converts and tells what was written. Raises WeightsError."""
    from third_party_ports import conversion

    if row.module is None:
        return f"{conversion.convert_vocabulary(source, out):,} words -> {out}"
    done = conversion.convert_row(row, source, out)
    return "; ".join([f"{done.tensors} tensors, {done.numbers:,} numbers -> {out}", *done.remarks])


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        "fetch",
        __doc__,
        epilog="names:\n"
        + "\n".join(
            f"  {row.name:<23} {row.file}, {row.size}{'' if row.url else ', no direct link'}"
            for row in zoo.CHECKPOINTS.values()
        ),
    )
    parser.add_argument("names", nargs="+", metavar="NAME", choices=("all", *zoo.CHECKPOINTS), help="below, or all")
    parser.add_argument("--out", type=Path, default=Path("weights"), metavar="FOLDER", help="default: weights")
    parser.add_argument("--base_url", metavar="URL", help="a mirror that holds the files under their published names")
    given = parser.parse_args(arguments)
    names = list(zoo.CHECKPOINTS) if "all" in given.names else list(dict.fromkeys(given.names))
    outcomes: list[Outcome] = []
    try:
        for name in names:
            first = next((outcome for outcome in outcomes if outcome.network != "unused"), None)
            offline = first.text if first and first.network == "absent" else None
            outcomes.append(fetch(zoo.checkpoint(name), given.out, given.base_url, offline))
            print(f"{name}: {outcomes[-1].text}", flush=True)
    except KeyboardInterrupt:
        print("\ninterrupted; run the command again, it goes on where it stopped", file=sys.stderr)
        return 130
    finally:
        for state in ("ready", "by hand", "failed"):
            if found := [outcome.name for outcome in outcomes if outcome.state == state]:
                print(f"{len(found)} {state}: {', '.join(found)}")
        if left := names[len(outcomes) :]:
            print(f"{len(left)} not tried: {', '.join(left)}")
    return int(any(outcome.state == "failed" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
