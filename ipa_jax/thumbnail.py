"""Scores frames of a video as photos of an account, and writes the best one as its cover.

    ipa-jax thumbnail --video VIDEO [--every 25] [--history HISTORY] [--export EXPORT] [--out thumbnail]

Takes every 25th frame, as the paper does, and ranks them as `ipa-jax rank` ranks photos: by the account's own posts
(HISTORY), by a trained model (EXPORT), or by both. Near-identical frames are one. OUT/best.png is the best frame at
full size, OUT/thumbnail.html and OUT/contact_sheet.png show the best 24, OUT/thumbnail.csv and OUT/thumbnail.json
hold all. Parts of a video that cannot be read are named. Needs PyAV: pip install av.
"""

import sys
from pathlib import Path

from ipa_jax.applications import history_flags
from third_party_ports.cli import Parser, command, whole_number


@command()
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = Parser("thumbnail", __doc__)
    history_flags.add(parser, "thumbnail")
    parser.add_argument("--video", type=Path, required=True, help="the video file: MP4, MOV, MKV, WebM, AVI and others")
    text = "score one frame in N: frames are counted, not seconds (default: 25, as in the paper)"
    parser.add_argument("--every", type=whole_number(1), default=25, metavar="N", help=text)
    args = parser.parse_args(argv)
    if not args.history and not args.export:
        parser.error("give --history, --export, or both: without them nothing says what this account's followers like")
    if not args.history and args.scorer not in ("auto", "model"):
        parser.error(f"--scorer={args.scorer} reads the account's posts: give --history too")
    source = history_flags.source(parser, args)
    history_flags.one_thread()

    from ipa_jax.applications import cover_job

    asked = cover_job.Asked(source, args.video, args.every)
    return history_flags.work(args.out, lambda: cover_job.run(asked, args.out))


if __name__ == "__main__":
    sys.exit(main())
