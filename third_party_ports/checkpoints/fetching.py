"""Gets one published checkpoint into a folder: downloads it if it has a direct link, and converts it."""

from pathlib import Path
from typing import Literal, NamedTuple

from third_party_ports.checkpoints import packaged
from third_party_ports.checkpoints.checkpoint import Checkpoint
from third_party_ports.checkpoints.conversion import write_row
from third_party_ports.checkpoints.download import DownloadError, UnknownHostError, download
from third_party_ports.checkpoints.weights import WeightsError


class Outcome(NamedTuple):
    """What `fetch` did with a checkpoint.

    Attributes:
      name: the checkpoint's.
      state: "ready": the converted file exists; "by hand": you must download the file yourself; "failed".
      text: the details, with what to do next.
      network: whether a server was asked, and "absent" if no server's name could be looked up.
    """

    name: str
    state: Literal["ready", "by hand", "failed"]
    text: str
    network: Literal["unused", "used", "absent"] = "unused"


def fetch(row: Checkpoint, folder: Path, base_url: str | None = None, offline: str | None = None) -> Outcome:
    """Downloads and converts a checkpoint, or says what you have to do.

    Args:
      row: the checkpoint.
      folder: receives the published file and the converted one.
      base_url: a server's folder that holds the published files; replaces `row.url`.
      offline: why no server can be reached, if you know that already. Then no server is asked.

    Raises:
      ValueError: the row's file name would leave the folder.
    """
    out, source = folder / row.converted, folder / row.file
    if source.parent != folder or out.parent != folder:
        raise ValueError(f"zoo: {row.name}: {row.file!r} is not the bare name of a file")
    url = f"{base_url.rstrip('/')}/{row.file}" if base_url else row.url
    if out.exists():
        return Outcome(row.name, "ready", f"{out} exists already; remove it to fetch it again")
    if row.package and not base_url and not source.exists():
        try:
            source = packaged.source_file(row)
        except WeightsError as error:
            return Outcome(row.name, "by hand", str(error))
    if url is None and not source.exists():
        return Outcome(row.name, "by hand", by_hand(row, source, out))
    if url and offline and not source.exists():
        return Outcome(row.name, "failed", f"not tried: {offline}")
    network: Literal["unused", "used"] = "used" if url and not source.exists() else "unused"
    try:
        published = ""
        if url:
            folder.mkdir(parents=True, exist_ok=True)
            digest = download(url, source, size=row.bytes, sha256=row.sha256 or "")
            known = "as published" if row.sha256 else "nobody published one: note it beside your results"
            published = f"; sha256 of {row.file}: {digest} ({known})"
        text, remarks = write_row(row, source, out)
        return Outcome(row.name, "ready", "; ".join([text, *remarks]) + published, network)
    except WeightsError as error:
        return Outcome(row.name, "failed", f"{error}\n  Download the file again: {row.page}", network)
    except UnknownHostError as error:
        return Outcome(row.name, "failed", str(error), "absent")
    except DownloadError as error:
        text = f"{error} Or download it with a browser into {folder}: {row.page}"
        return Outcome(row.name, "failed", text, network)
    except OSError as error:  # a full disk, a folder that cannot be written
        text = f"{source}: {error}. Make room, or give another folder with --out"
        return Outcome(row.name, "failed", text, network)


def by_hand(row: Checkpoint, source: Path, out: Path) -> str:
    """Says what to do for a file without a direct link."""
    return (
        f"no direct link. Download {row.file} ({row.size}) from\n    {row.page}\n"
        f"  and run\n    ipa-jax convert {row.name} {source} --out {out}"
    )
