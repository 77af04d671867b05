"""Downloads the photos that a list of posts has addresses for.

    ipa-jax fetch-images FlickrUser.csv --to FOLDER [--rate 5] [--limit 1000]

The list is FlickrUser.csv, another CSV file with the columns img_id and img_url, or media of the Instagram Graph API as
a .json file. The photos go to FOLDER/images/<id>.jpg, and a copy of the list beside that folder, so that FOLDER is
what --raw and --history take. If the command is stopped, run it again: it resumes. Photos that are gone from the server
are counted and not asked for again. Each file is opened as a photo before it is kept.

Ask only for photos that you may use, and keep the rate low: the server belongs to somebody else.
"""

import argparse
import sys
from pathlib import Path

from third_party_ports.cli import DONE, FAILED, Parser, command, fail, output_folder, whole_number


def rate(text: str) -> float:
    """The type of --rate: a number above 0, at most 50."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 50:
        raise argparse.ArgumentTypeError(f"must be a number above 0, at most 50, not {text!r}")
    return number


@command(resumes=True)
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = Parser("fetch-images", __doc__)
    parser.add_argument("list", type=Path, metavar="LIST", help="FlickrUser.csv, or another list with addresses")
    parser.add_argument("--to", type=output_folder, required=True, metavar="FOLDER", help="where the photos go")
    parser.add_argument("--rate", type=rate, default=5.0, help="photos to ask for per second (default: 5)")
    parser.add_argument("--limit", type=whole_number(1), help="take only the first photos of the list, so many")
    args = parser.parse_args(argv)

    from data_builders.posts.fetch import FAILED as LEFT
    from data_builders.posts.fetch import fetch

    try:
        outcome = fetch(args.list, args.to, rate=args.rate, limit=args.limit)
    except (OSError, ValueError) as error:  # RawDataError is a ValueError
        return fail(error)
    print("\n".join(outcome.lines()))
    return FAILED if outcome.counts[LEFT] else DONE


if __name__ == "__main__":
    sys.exit(main())
