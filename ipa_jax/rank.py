"""Puts new photos of an account in order, best first, by how the account's own posts did.

    ipa-jax rank --history HISTORY --photos PHOTO_OR_FOLDER [...] [--account NAME] [--out ranking]
    ipa-jax rank --demo

HISTORY is what you have of your posts with their likes: an Instagram export (zip or folder), an Instaloader profile
folder, a folder with posts.csv, and more (docs/your_photos.md). Photos need no likes. The page OUT/ranking.html shows
the photos with reasons, and how often such an order was right on this account's own past; OUT/ranking.csv and
OUT/ranking.json hold the same for programs. Nothing leaves this computer.
"""

import sys
from pathlib import Path

from ipa_jax.applications import history_flags
from third_party_ports.cli import Parser, command


@command()
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = Parser("rank", __doc__)
    history_flags.add(parser, "ranking")
    parser.add_argument("--photos", type=Path, nargs="+", help="photos, or folders of photos, to rank")
    parser.add_argument("--pick", help="mark the best N photos, or N%% of them, as picked")
    parser.add_argument("--ratings", action="store_true", help="write stars beside the photos, as XMP sidecars")
    parser.add_argument("--overwrite_ratings", action="store_true", help="replace stars and rejects that exist already")
    parser.add_argument("--demo", action="store_true", help="rank drawn photos of a drawn account, with made-up likes")
    args = parser.parse_args(argv)
    if args.demo == bool(args.history or args.photos):
        parser.error("give --history and --photos, or --demo alone")
    if not args.demo and not (args.history and args.photos):
        parser.error("give both --history and --photos")
    if args.overwrite_ratings and not args.ratings:
        parser.error("--overwrite_ratings changes stars: give --ratings too")
    source = history_flags.source(parser, args)
    history_flags.one_thread()

    from ipa_jax.applications import rank_demo, rank_job

    if args.demo:
        return history_flags.work(args.out, lambda: rank_demo.demo(args.out))
    asked = rank_job.Asked(source, args.photos, args.pick, args.ratings, args.overwrite_ratings)
    return history_flags.work(args.out, lambda: rank_job.run(asked, args.out))


if __name__ == "__main__":
    sys.exit(main())
