"""What an extraction did: counts for the screen and extract_report.json, and left_out.json, which the build reads."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_builders.features.inputs import Image
from data_builders.features.rows import StoreError
from third_party_ports import seals
from third_party_ports.reading import reading

REPORT = "extract_report.json"
LEFT_OUT = "left_out.json"  # of all runs into a store: [account, image id, reason] of each image that it lacks
REMEDY = "run the same ipa-jax extract again"
EXAMPLES = 10  # images that are named for each reason


@dataclass
class Report:
    """The result of an extraction.

    Attributes:
      written: images that this run added to the store.
      already: images that the store had before.
      posts: by reason, records of the raw data that the reader left out, so their images were not looked at.
      skipped: by reason, images that were left out.
      examples: by reason, "account/image_id" of some images that were left out.
      left_out: (account, image id) of each image that was left out -> reason.
      kept_by: the fields of config.data by which only images of kept groups were asked for; None if all were.
      not_kept: images that were not asked for.
    """

    written: int = 0
    already: int = 0
    posts: dict[str, int] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[tuple[str, str], str] = field(default_factory=dict)
    kept_by: dict[str, Any] | None = None
    not_kept: int = 0

    def skip(self, image: Image, reason: str) -> None:
        """Counts an image that is left out."""
        self.left_out[image.account, image.image_id] = reason
        self.skipped[reason] += 1
        named = self.examples.setdefault(reason, [])
        if len(named) < EXAMPLES:
            named.append(f"{image.account}/{image.image_id}")

    def to_json(self) -> dict[str, Any]:
        """The content of extract_report.json."""
        return {
            "written": self.written,
            "already": self.already,
            "posts_left_out": self.posts,
            "skipped": dict(self.skipped),
            "examples": self.examples,
            "only": "all" if self.kept_by is None else "kept",
            "kept_by": self.kept_by,
            "not_kept": self.not_kept,
        }

    def add(self, other: dict[str, Any]) -> None:
        """Adds the report of a chunk, as `to_json` gave it, without `already`, which counts images of earlier runs."""
        self.written += other["written"]
        self.skipped.update(other["skipped"])
        for reason, named in other["examples"].items():
            self.examples[reason] = (self.examples.get(reason, []) + named)[:EXAMPLES]

    def merge(self, other: "Report") -> None:
        """Adds the report of other images of the same extraction."""
        self.add(other.to_json())
        self.already += other.already
        self.left_out |= other.left_out

    def lines(self, out: Path) -> list[str]:
        """What to print after an extraction into the store at `out`."""
        shown = [f"wrote {self.written} images to {out} ({self.already} were already there)"]
        for reason, count in self.skipped.most_common():
            shown.append(f"  left out, {reason}: {count} (such as {self.examples[reason][0]})")
        if self.not_kept:
            shown.append(f"  not extracted, in no kept group: {self.not_kept} (--only=all takes them too)")
        for reason, count in self.posts.items():
            shown.append(f"  not looked at, {reason}: {count} records of the raw data")
        return shown


def write_report(report: Report, folder: Path) -> None:
    """Writes extract_report.json into a store's folder, and adds what was left out to left_out.json there."""
    known = read_left_out(folder) | report.left_out
    rows = [[account, image_id, reason] for (account, image_id), reason in sorted(known.items())]
    seals.write_json(folder / LEFT_OUT, {"left_out": rows}, indent=0)
    seals.write_json(folder / REPORT, report.to_json() | {"left_out": len(rows)})


def read_report(folder: Path) -> dict[str, Any]:
    """extract_report.json of a store's folder. Raises StoreError if it is missing or damaged."""
    path, remedy = folder / REPORT, f"delete it and {REMEDY}"
    report = seals.read_json(path, StoreError, remedy)
    with reading(path, StoreError, remedy):
        return report | {"written": int(report["written"])}


def read_kept_by(folder: Path) -> dict[str, Any] | None:
    """The fields of config.data by which the last extraction took only images of kept groups; None if it took all, or
    nothing is known. Raises StoreError if the report is damaged."""
    return read_report(folder).get("kept_by") if (folder / REPORT).exists() else None


def read_left_out(folder: Path) -> dict[tuple[str, str], str]:
    """Why each image is left out that the extractions into a store left out, by (account, image id); {} if none is
    known. An image that a later run wrote may still be there.

    Raises:
      StoreError: the file is damaged.
    """
    path, remedy = folder / LEFT_OUT, f"delete it and {REMEDY}"
    if not path.exists():
        if (folder / REPORT).exists() and read_report(folder).get("left_out"):
            raise StoreError(f"{path} is missing, though {REPORT} beside it counts it; {REMEDY}")
        return {}
    stored = seals.read_json(path, StoreError, remedy)
    with reading(path, StoreError, remedy):
        return {(str(account), str(image_id)): str(reason) for account, image_id, reason in stored["left_out"]}
