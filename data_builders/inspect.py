"""Shows what a data set holds: counts and a sample on screen, all groups as JSON lines, some with photos as HTML.

    python -m ipa_jax inspect --data_dir DATA --split test [--jsonl FILE] [--html FILE] [--groups 20]

A line of the JSONL is one group; `pairs` and `retrieved` go by position in `images`:
{"account", "first_post", "split", "images": [id], "likes", "times", "pairs": [[i, j]],
 "retrieved": [[[id, S, pose, background, caption, local score, |A_r|], ...], ...]}
"""

import base64
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from third_party_ports.cli import Parser, fail

if TYPE_CHECKING:
    from rich.console import Console

    from data_builders.dataset import GroupDataset

CHUNK = 256  # groups decoded at a time
THUMBNAIL = 144  # px
SPLITS = ("train", "validation", "test")


def line(group: dict[str, Any], split: str) -> dict[str, Any]:
    """The JSONL object of a group; empty slots are left out of `retrieved`."""
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


def retrieved(group: dict[str, Any]) -> list[list[list]]:
    """For each image its retrieved ones, best first: [id, S, pose, background, caption, local score, |A_r|]."""
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


def groups(dataset: "GroupDataset") -> Iterator[dict[str, Any]]:
    """All groups in the order of their records."""
    for first in range(0, len(dataset), CHUNK):
        yield from dataset.get(range(first, min(first + CHUNK, len(dataset))))


def write_jsonl(dataset: "GroupDataset", path: Path) -> None:
    """One line a group."""
    from tqdm import tqdm

    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        for group in tqdm(groups(dataset), total=len(dataset), unit=" groups", desc=str(path), disable=None):
            file.write(json.dumps(line(group, dataset.split), ensure_ascii=False) + "\n")
    temporary.replace(path)


def write_html(dataset: "GroupDataset", path: Path, count: int) -> None:
    """One self-contained page: `count` groups spread over the split, each image with its retrieved neighbours."""
    import jinja2

    photos = _Photos(dataset)
    step = max(1, len(dataset) // count)
    shown = []
    for group in dataset.get(range(0, len(dataset), step)[:count]):
        valid = [(int(i), int(j)) for i, j in group["pairs"]]
        shown.append(
            {
                "account": group["account"],
                "first_post": group["first_post"],
                "category": group["category"],
                "pairs": len(valid),
                "images": [
                    {
                        "id": group["image_ids"][image],
                        "likes": int(group["likes"][image]),
                        "caption": group["captions"][image],
                        "photo": thumbnail(group["images"][image]),
                        "partners": sum(image in pair for pair in valid),
                        "retrieved": [
                            {
                                "id": found[0],
                                "S": found[1],
                                "pose": found[2],
                                "background": found[3],
                                "caption": found[4],
                                "local": found[5],
                                "count": found[6],
                                **photos.of(group["account"], found[0]),
                            }
                            for found in neighbours
                        ],
                    }
                    for image, neighbours in enumerate(retrieved(group))
                ],
            }
        )
    environment = jinja2.Environment(autoescape=True)  # captions are strangers' text
    page = environment.from_string((Path(__file__).parent / "inspect.html.jinja").read_text())
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(
        page.render(
            groups=shown,
            split=dataset.split,
            total=len(dataset),
            options=json.dumps(dataset.options, indent=1),
            statistics=dataset.info["statistics"][dataset.split],
            random_weights=dataset.info["random_weights"],
        )
    )
    temporary.replace(path)


def thumbnail(data: bytes) -> str:
    """The image as a data URL, at most THUMBNAIL px."""
    from data_builders.photos import upright

    small = upright(data, near=2 * THUMBNAIL)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


class _Photos:
    """Photos and likes of retrieved images, which lie in other groups (of train, unless the split is by account)."""

    def __init__(self, dataset: "GroupDataset"):
        from data_builders.dataset import GroupDataset

        own = dataset.options["split"]["by"] == "account"
        self._bank = dataset if own else GroupDataset(dataset.folder, "train", depth=False)
        rows = self._bank.images.select("account", "image_id", "record", "position").iter_rows()
        self._places = {(account, image): (record, position) for account, image, record, position in rows}

    def of(self, account: str, image_id: str) -> dict[str, Any]:
        record, position = self._places[account, image_id]
        group = self._bank[record]
        return {"photo": thumbnail(group["images"][position]), "likes": int(group["likes"][position])}


def show(dataset: "GroupDataset", console: "Console", count: int) -> None:
    """Prints the counts of all splits and a sample of this one."""
    from rich.table import Table

    info = dataset.info
    console.print(f"{dataset.folder}", highlight=False)
    if info["random_weights"]:
        console.print("[yellow]features of extractors with random weights[/]")
    counts = Table("split", "images", "groups", "valid pairs", title="Counts", title_justify="left")
    for split in SPLITS:
        numbers = info["statistics"][split]
        counts.add_row(split, *(f"{numbers[key]:,}" for key in ("images", "groups", "pairs")))
    console.print(counts)
    sample = Table(
        "group",
        "likes",
        "pairs",
        "retrieved by its first image: S (local score)",
        title=f"Sample of {dataset.split}",
        title_justify="left",
    )
    for group in dataset.get(range(min(count, len(dataset)))):
        first = ", ".join(f"{found[1]:.2f} ({found[5]:.2f})" for found in retrieved(group)[0])
        sample.add_row(
            group["group_id"], " ".join(str(likes) for likes in group["likes"]), str(len(group["pairs"])), first
        )
    console.print(sample)


def main(argv: list[str] | None = None) -> int:
    parser = Parser("inspect", __doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="a data set that ipa-jax build wrote")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--jsonl", type=Path, metavar="FILE", help="write all groups of the split, one a line")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write groups with photos and retrieved neighbours")
    parser.add_argument("--groups", type=int, default=20, help="groups in the HTML (default 20)")
    arguments = parser.parse_args(argv)
    if arguments.groups < 1:
        parser.error(f"--groups {arguments.groups}: must be 1 or more")
    for file in filter(None, (arguments.jsonl, arguments.html)):
        if not file.parent.is_dir():
            parser.error(f"{file}: there is no folder {file.parent}; make it first")

    from rich.console import Console

    from data_builders.dataset import GroupDataset

    console = Console()
    try:
        dataset = GroupDataset(arguments.data_dir, arguments.split, depth=False)
        show(dataset, console, count=8)
    except FileNotFoundError as error:
        return fail(error)
    if arguments.jsonl:
        write_jsonl(dataset, arguments.jsonl)
        console.print(f"wrote {arguments.jsonl}")
    if arguments.html:
        write_html(dataset, arguments.html, arguments.groups)
        console.print(f"wrote {arguments.html}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
