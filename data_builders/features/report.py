"""What an extraction did: counts for the screen and for extract_report.json."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_builders.features.inputs import Image
from third_party_ports.files import write_text

REPORT = "extract_report.json"
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
    """

    written: int = 0
    already: int = 0
    posts: dict[str, int] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, image: Image, reason: str) -> None:
        """Counts an image that is left out."""
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
        }

    def add(self, other: dict[str, Any]) -> None:
        """Adds the report of a chunk, as `to_json` gave it, without `already`, which counts images of earlier runs."""
        self.written += other["written"]
        self.skipped.update(other["skipped"])
        for reason, named in other["examples"].items():
            self.examples[reason] = (self.examples.get(reason, []) + named)[:EXAMPLES]

    def lines(self, out: Path) -> list[str]:
        """What to print after an extraction into the store at `out`."""
        shown = [f"wrote {self.written} images to {out} ({self.already} were already there)"]
        for reason, count in self.skipped.most_common():
            shown.append(f"  left out, {reason}: {count} (such as {self.examples[reason][0]})")
        for reason, count in self.posts.items():
            shown.append(f"  not looked at, {reason}: {count} records of the raw data")
        return shown


def write_report(report: Report, folder: Path) -> None:
    """Writes extract_report.json into a store's folder."""
    write_text(folder / REPORT, json.dumps(report.to_json(), indent=2) + "\n")
