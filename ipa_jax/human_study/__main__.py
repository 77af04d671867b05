"""Asks people which of two photos got more likes, on a local page, and says how often they are right.

ipa-jax human-study serve --data_dir DATA [--pairs 30] [--split test] [--seed 0] [--db FILE] [--host 127.0.0.1]
    [--port 8000]
ipa-jax human-study score [--db FILE] [--data_dir DATA] [--incomplete] [--json]

Stop `serve` at any time: the same command resumes the study.
"""

import argparse
import json
import sys
from pathlib import Path

from third_party_ports.cli import Parser, command, fail, whole_number

DB = Path("runs/human_study.sqlite")


def _serve(args: argparse.Namespace) -> int:
    from data_builders.dataset import GroupDataset
    from ipa_jax import local_page
    from ipa_jax.human_study import pairs
    from ipa_jax.human_study.answers import Answers, Study
    from ipa_jax.human_study.web import create_app

    dataset = GroupDataset(args.data_dir, args.split, depth=False)
    pairs.require_enough(dataset, args.pairs)
    study = Study(str(dataset.folder.resolve()), args.split, pairs.digest(dataset), pairs=args.pairs, seed=args.seed)
    answers = Answers(args.db)
    with local_page.listening(args.host, args.port) as sockets:  # first, so that a failed start leaves no study behind
        answers.create(study)
        app = create_app(dataset, answers, hosts=local_page.trusted_hosts(args.host))
        for url in local_page.addresses(sockets):
            print(f"study: {url}", flush=True)
        print(f"answers: {args.db} (each is saved at once; Ctrl-C ends the study)", flush=True)
        local_page.serve(app, sockets)
    return 0


def _score(args: argparse.Namespace) -> int:
    from data_builders.dataset import GroupDataset
    from ipa_jax.human_study.answers import Answers
    from ipa_jax.human_study.score import lines, score

    answers = Answers(args.db)
    study = answers.study()
    dataset = GroupDataset(args.data_dir or study.data, study.split, depth=False)
    result = score(answers, dataset, incomplete=args.incomplete, draws=args.draws, seed=args.seed)
    print(json.dumps(result) if args.json else "\n".join(lines(result)))
    return 0


@command(resumes=True, page=True)
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = Parser("human-study", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve the page until Ctrl-C")
    serve.add_argument("--data_dir", type=Path, required=True, help="a data set that `ipa-jax build` wrote")
    serve.add_argument(
        "--pairs", type=whole_number(1), default=30, help="pairs per participant (default 30, as in the paper)"
    )
    serve.add_argument("--split", default="test", choices=["train", "validation", "test"])
    serve.add_argument("--seed", type=whole_number(0), default=0, help="seed of the draw of pairs")
    serve.add_argument("--db", type=Path, default=DB, help=f"SQLite file of the answers (default {DB})")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: only this computer)")
    serve.add_argument(
        "--port", type=whole_number(0, 65_535), default=8000, help="port to listen on (default 8000); 0: any free one"
    )
    serve.set_defaults(run=_serve)
    score = commands.add_parser("score", help="print how often people were right")
    score.add_argument("--db", type=Path, default=DB, help=f"SQLite file of the answers (default {DB})")
    score.add_argument("--data_dir", type=Path, help="the data set that was served, if it has moved")
    score.add_argument("--incomplete", action="store_true", help="also count people who have not answered all pairs")
    score.add_argument("--draws", type=whole_number(1), default=1000, help="draws of the bootstrap (default 1000)")
    score.add_argument("--seed", type=whole_number(0), default=0, help="seed of the bootstrap")
    score.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    score.set_defaults(run=_score)
    args = parser.parse_args(argv)
    try:
        return args.run(args)
    except (ValueError, OSError) as error:
        return fail(error)


if __name__ == "__main__":
    sys.exit(main())
