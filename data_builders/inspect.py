"""Shows what a data set holds: counts and a sample on the screen, all groups as JSON lines, some with photos as HTML.

    ipa-jax inspect --data_dir=DATA --split=test [--jsonl=FILE] [--html=FILE] [--groups=20]

A line of the JSONL is one group. `pairs` and `retrieved` count images by their position in `images`:
{"account", "first_post", "split", "images": [id], "likes", "times", "pairs": [[i, j]],
 "retrieved": [[[id, S, pose, background, caption, local score, |A_r|], ...], ...]}
"""

import sys
from pathlib import Path

from third_party_ports.cli import DONE, Parser, command, fail, new_file, whole_number

SPLITS = ("train", "validation", "test")


@command()
def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = Parser("inspect", __doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="the data set, as ipa-jax build wrote it")
    parser.add_argument("--split", choices=SPLITS, default="test", help="the split to show (default: test)")
    parser.add_argument("--jsonl", type=new_file, metavar="FILE", help="write all groups of the split, one per line")
    parser.add_argument("--html", type=new_file, metavar="FILE", help="write a page of groups and what they retrieve")
    parser.add_argument("--groups", type=whole_number(1), default=20, help="number of groups on the page (default: 20)")
    args = parser.parse_args(argv)

    from rich.console import Console

    from data_builders.dataset import GroupDataset
    from data_builders.top3000 import inspection

    console = Console()
    try:
        dataset = GroupDataset(args.data_dir, args.split, depth=False)
        inspection.show(dataset, console)
        if args.jsonl:
            inspection.write_jsonl(dataset, args.jsonl)
            print(f"wrote {args.jsonl}")
        if args.html:
            inspection.write_html(dataset, args.html, args.groups)
            print(f"wrote {args.html}")
    except (ValueError, OSError) as error:  # DatasetError is a ValueError
        return fail(error)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
