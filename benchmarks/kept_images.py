"""Which share of the images an extraction takes with --only=kept, and what it costs to decide that.

Run: python -m benchmarks.kept_images [--raw RAW] [--accounts 3000] [--posts 523] [--short]

Without --raw it draws posts of the paper's size, at random over four years. An account's likes are log-normal with a
standard deviation of 0.33, so that about as many images are kept as in the paper: 712,170 of 3000 accounts with 523
each, 45 %. CPU seconds are medians of three rounds. The reference is --only=all, which runs the networks on all.
"""

import argparse
import statistics
from pathlib import Path

PAPER = (569_151 + 71_071 + 71_948) / (3000 * 523)
ROUNDS = 3
DAY = 86_400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, help="raw posts (default: drawn ones)")
    parser.add_argument("--accounts", type=int, default=3000, help="accounts to draw (default 3000)")
    parser.add_argument("--posts", type=int, default=523, help="posts of each (default 523)")
    parser.add_argument("--short", action="store_true", help="300 accounts")
    args = parser.parse_args()
    if args.short:
        args.accounts = 300

    from benchmarks.timing import in_turns, spread
    from configs import full
    from data_builders.features import selection
    from data_builders.posts.read import read_posts

    options = full.get_config().data.to_dict()
    table = draw(args.accounts, args.posts) if args.raw is None else read_posts(args.raw, options)[0]
    kept = selection.kept_posts(table, options)
    seconds = in_turns({"decide": lambda _: selection.kept_posts(table, options)}, ROUNDS)["decide"]
    images, everything = (int(posts["image_ids"].list.len().sum()) for posts in (kept, table))
    print(f"{images:,} of {everything:,} images are in kept groups: {images / everything:.1%} (the paper: {PAPER:.1%})")
    each = 1e3 * statistics.median(seconds) / table["account"].n_unique()
    print(f"decided in {spread(seconds)} CPU seconds, {each:.2f} ms per account")


def draw(accounts: int, posts: int):
    """A posts table with the columns that decide."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    count = accounts * posts
    return pl.DataFrame(
        {
            "account": np.repeat([f"user{number:05}" for number in range(accounts)], posts),
            "time": np.sort(rng.integers(0, 1460 * DAY, (accounts, posts)), axis=1).ravel(),
            "likes": np.exp(rng.normal(7, 0.33, count)).astype(np.int64) + 1,
            "image_ids": [[str(number)] for number in range(count)],
        }
    )


if __name__ == "__main__":
    main()
