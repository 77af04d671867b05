"""Says which of a set of generated photos suit an account: the best of each prompt, by the account's own posts.

    ipa-jax select --images FOLDER --history HISTORY [--account NAME] [--out selection]

Photos are grouped by the prompt that made them: the text file x.txt beside x.png, or what Stable Diffusion web UI or
ComfyUI wrote into a PNG. Those of unknown prompt are a group of their own. Within each group photos are ranked as
`ipa-jax rank` ranks them. OUT/selection.html shows the groups, OUT/selection.csv and OUT/selection.json hold the same
for programs. Nothing leaves this computer, and no photo is moved or changed.
"""

import sys
from pathlib import Path

from ipa_jax.applications import history_flags
from third_party_ports.cli import Parser, command


@command()
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = Parser("select", __doc__)
    history_flags.add(parser, "selection")
    parser.add_argument("--images", type=Path, required=True, help="the folder of generated photos, searched through")
    text = "photos of each prompt to mark as picked: N, or N%% of them (default: 1)"
    parser.add_argument("--pick", default="1", help=text)
    args = parser.parse_args(argv)
    if not args.history:
        parser.error("give --history: the account that the photos are to suit")
    source = history_flags.source(parser, args)
    history_flags.one_thread()

    from ipa_jax.applications import select_job

    asked = select_job.Asked(source, args.images, args.pick)
    return history_flags.work(args.out, lambda: select_job.run(asked, args.out))


if __name__ == "__main__":
    sys.exit(main())
