"""Puts new photos of an account in order, best first, by how the account's own posts did.

    ipa-jax rank --history HISTORY --photos PHOTO_OR_FOLDER [...] [--account NAME] [--out ranking]
    ipa-jax rank --demo

HISTORY is what you have of your posts with their likes: an Instagram export (zip or folder), an Instaloader profile
folder, a folder with posts.csv, and more (docs/your_photos.md). Photos need no likes. The page OUT/ranking.html shows
the photos with reasons, and how often such an order was right on this account's own past; OUT/ranking.csv and
OUT/ranking.json hold the same for programs. Nothing leaves this computer.
"""

import os
import sys
from pathlib import Path

from third_party_ports import files
from third_party_ports.cli import DONE, WRONG_USE, Parser, command, fail, output_folder


@command()
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = Parser("rank", __doc__)
    parser.add_argument("--history", type=Path, help="the account's posts with their likes: a folder, a zip or a .csv")
    parser.add_argument("--photos", type=Path, nargs="+", help="photos, or folders of photos, to rank")
    parser.add_argument("--account", help="whose history, if it holds several accounts")
    parser.add_argument("--out", type=output_folder, default="ranking", help="folder to write (default: ranking)")
    scorers, profiles = ("auto", "model", "retrieval", "probe", "mean"), ("light", "paper")
    text = "what ranks (default: auto, the one that was right most often on the account's past)"
    parser.add_argument("--scorer", default="auto", choices=scorers, help=text)
    parser.add_argument("--export", type=Path, help="the export/ folder of a trained model, for model and auto")
    text = "what describes photos: networks that come with pip, or those of `ipa-jax fetch` (default: light)"
    parser.add_argument("--profile", default="light", choices=profiles, help=text)
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder of the paper profile's weights")
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
    if args.scorer == "model" and not args.export:
        parser.error("--scorer=model needs --export=DIR")

    # Before numpy loads: on a busy machine several threads make its small matrix products slower, not faster.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from absl import logging

    from ipa_jax.applications import rank_demo, rank_job

    logging.set_verbosity("warning")
    try:
        with files.lock(args.out):
            if args.demo:
                rank_demo.demo(args.out)
                return DONE
            asked = rank_job.Asked(
                args.history, args.photos, args.account, args.scorer, args.export, args.profile, args.weights,
                args.pick, args.ratings, args.overwrite_ratings,
            )  # fmt: skip
            rank_job.run(asked, args.out)
    except rank_job.WrongUse as error:
        return fail(error, WRONG_USE)
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        return fail(error)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
