"""Shows what a data set holds: tables on the screen, all groups as JSON lines, a page of photos."""

import base64
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tqdm import tqdm

from data_builders import photos
from data_builders.dataset import GroupDataset
from data_builders.groups import SPLITS
from third_party_ports import files

CHUNK = 256  # groups decoded at a time
SAMPLE = 8  # groups that the sample on the screen shows
THUMBNAIL = 144  # px, the longer side of a photo on the page
PAGE = Path(__file__).with_suffix(".html.jinja")
SLOT = ("id", "S", "pose", "background", "caption", "local", "count")  # the values of a retrieved image, in order


def show(dataset: GroupDataset, console: Console) -> None:
    """Prints the counts of all splits and the first groups of this one."""
    info = dataset.info
    console.print(escape(str(dataset.folder)), highlight=False)
    if info["random_weights"]:
        console.print("[yellow]features of extractors with random weights[/]")
    counts = Table("split", "images", "groups", "valid pairs", title="Counts", title_justify="left")
    for split in SPLITS:
        numbers = info["statistics"][split]
        counts.add_row(split, *(f"{numbers[key]:,}" for key in ("images", "groups", "pairs")))
    console.print(counts)
    columns = ("group", "likes", "pairs", "retrieved by its first image: S (local score)")
    sample = Table(*columns, title=f"Sample of {dataset.split}", title_justify="left")
    for group in dataset.get(range(min(SAMPLE, len(dataset)))):
        first = ", ".join(f"{found[1]:.2f} ({found[5]:.2f})" for found in retrieved(group)[0])
        likes = " ".join(str(likes) for likes in group["likes"])
        sample.add_row(escape(group["group_id"]), likes, str(len(group["pairs"])), first)
    console.print(sample)


def write_jsonl(dataset: GroupDataset, path: Path) -> None:
    """Writes one line per group of the split; see `line`. Raises OSError where `path` cannot be written."""
    with files.replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for group in tqdm(_groups(dataset), total=len(dataset), unit=" groups", desc=str(path), disable=None):
            file.write(json.dumps(line(group, dataset.split), ensure_ascii=False) + "\n")


def line(group: Mapping[str, Any], split: str) -> dict[str, Any]:
    """The JSON object of a group. `pairs` and `retrieved` count images by their position in `images`."""
    return {
        "account": group["account"],
        "first_post": group["first_post"],
        "split": split,
        "images": group["image_ids"],
        "likes": group["likes"].tolist(),
        "times": group["times"].tolist(),
        "pairs": group["pairs"].tolist(),
        "retrieved": retrieved(group),
    }


def retrieved(group: Mapping[str, Any]) -> list[list[list]]:
    """For each image of a group what it retrieves, best first and without empty slots: the values of SLOT."""
    slots = group["mask"].shape[1]
    return [
        [
            [
                group["retrieved_ids"][image * slots + k],
                *group["similarity"][image, k].tolist(),
                float(group["local_score"][image, k]),
                int(group["count"][image, k]),
            ]
            for k in range(slots)
            if group["mask"][image, k]
        ]
        for image in range(len(group["likes"]))
    ]


def write_html(dataset: GroupDataset, path: Path, count: int) -> None:
    """Writes one self-contained page: `count` groups spread over the split, each image with what it retrieves.

    Raises OSError where `path` cannot be written.
    """
    bank = _Photos(dataset)
    step = max(1, len(dataset) // count)
    shown = [_on_page(group, bank) for group in dataset.get(range(0, len(dataset), step)[:count])]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)  # captions come from strangers
    page = environment.from_string(PAGE.read_text()).render(
        groups=shown,
        split=dataset.split,
        total=len(dataset),
        options=json.dumps(dataset.options, indent=1),
        statistics=dataset.info["statistics"][dataset.split],
        random_weights=dataset.info["random_weights"],
    )
    files.write_text(path, page)


def thumbnail(data: bytes) -> str:
    """The bytes of a photo as the data URL of a small JPEG, its longer side at most THUMBNAIL px."""
    small = photos.upright(data, near=2 * THUMBNAIL)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


class _Photos:
    """Photos and likes of retrieved images, which are in other groups.

    Images of the own account are in train, or in the same split if the split is by account. Images of other accounts
    (memory.fallback) are always in train.
    """

    def __init__(self, dataset: GroupDataset):
        train = GroupDataset(dataset.folder, "train", depth=False)
        self._own = dataset if dataset.options["split"]["by"] == "account" else train
        self._train = train
        self._places: dict[tuple[str, str, str], tuple[int, int]] = {}
        for bank in {self._own.split: self._own, train.split: train}.values():
            rows = bank.images.select("account", "image_id", "record", "position").iter_rows()
            self._places |= {(bank.split, account, image): (record, at) for account, image, record, at in rows}

    def find(self, account: str, image_id: str, elsewhere: bool) -> dict[str, Any]:
        """{"photo": data URL, "likes"} of an image that a group of `account` retrieves.

        Args:
          account: the account whose group retrieves it.
          image_id: the image's id; ACCOUNT/IMAGE_ID if it comes from `elsewhere`.
          elsewhere: whether it comes from another account.
        """
        split = self._own
        if elsewhere:
            split, (account, _, image_id) = self._train, image_id.partition("/")
        record, position = self._places[split.split, account, image_id]
        group = split[record]
        return {"photo": thumbnail(group["images"][position]), "likes": int(group["likes"][position])}


def _on_page(group: Mapping[str, Any], bank: _Photos) -> dict[str, Any]:
    """What the page shows of a group."""
    valid = [(int(i), int(j)) for i, j in group["pairs"]]
    elsewhere = group.get("foreign", np.zeros_like(group["mask"]))
    images = [
        {
            "id": group["image_ids"][image],
            "likes": int(group["likes"][image]),
            "caption": group["captions"][image],
            "photo": thumbnail(group["images"][image]),
            "partners": sum(image in pair for pair in valid),
            "retrieved": [
                dict(zip(SLOT, found, strict=True)) | bank.find(group["account"], found[0], bool(elsewhere[image, k]))
                for k, found in enumerate(neighbours)  # filled slots come first
            ],
        }
        for image, neighbours in enumerate(retrieved(group))
    ]
    named = {name: group[name] for name in ("account", "first_post", "category")}
    return named | {"pairs": len(valid), "images": images}


def _groups(dataset: GroupDataset) -> Iterator[dict[str, Any]]:
    """All groups in the order of their records."""
    for first in range(0, len(dataset), CHUNK):
        yield from dataset.get(range(first, min(first + CHUNK, len(dataset))))
