"""A local page where people choose, of two photos, the one with more likes; and how often they were right.

    python -m ipa_jax human-study serve --data_dir DATA --pairs 30 [--split test] [--seed 0] [--db FILE]
        [--host 127.0.0.1] [--port 8000]
    python -m ipa_jax human-study score --db FILE [--data_dir DATA] [--incomplete] [--json]

The same `serve` goes on with a study after a stop or a kill.
"""

import argparse
import errno
import ipaddress
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from third_party_ports.cli import Parser, fail, whole_number

DB = Path("runs/human_study.sqlite")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Sockets that hold the port, on every address of the host. Raises ValueError naming --host or --port."""
    with ExitStack() as held:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            places = dict.fromkeys((family, address) for family, *_, address in found)
            sockets = [held.enter_context(socket.create_server(address, family=family)) for family, address in places]
        except (socket.gaierror, UnicodeError) as error:
            raise ValueError(f"--host {host}: no such host; give a name or an address of this computer") from error
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise ValueError(f"--host {host}: not an address of this computer; 0.0.0.0 is all of them") from error
            wrong = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror
            raise ValueError(f"--port {port}: {wrong}; give another port, or 0 for any free one") from error
        yield sockets


def _serve(args: argparse.Namespace) -> int:
    from waitress import create_server

    from data_builders.dataset import GroupDataset
    from ipa_jax.human_study import pairs
    from ipa_jax.human_study.answers import Answers, Study
    from ipa_jax.human_study.web import LOOPBACK, create_app

    dataset = GroupDataset(args.data_dir, args.split, depth=False)
    pairs.require_enough(dataset, args.pairs)
    study = Study(str(dataset.folder.resolve()), args.split, pairs.digest(dataset), pairs=args.pairs, seed=args.seed)
    answers, local = Answers(args.db), _is_loopback(args.host)
    with _listening(args.host, args.port) as sockets:  # first, so that a start that fails leaves no study behind
        answers.create(study)
        app = create_app(dataset, answers, hosts=LOOPBACK if local else None)
        with closing(create_server(app, sockets=sockets, threads=8, ident="")) as server:
            for host, port, *_ in (held.getsockname() for held in sockets):
                print(f"study: http://{f'[{host}]' if ':' in host else host}:{port}/", flush=True)
            if not local:
                print("warning: anyone on the network can reach it, and nothing is encrypted (--host)", flush=True)
            print(f"answers: {args.db} (Ctrl-C ends; each answer is saved at once)", flush=True)
            server.run()
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


def main(argv: list[str] | None = None) -> int:
    parser = Parser("human-study", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="show the page until Ctrl-C")
    serve.add_argument("--data_dir", type=Path, required=True, help="what data_builders.build wrote")
    serve.add_argument(
        "--pairs", type=whole_number(1), default=30, help="pairs a participant (default 30, as in the paper)"
    )
    serve.add_argument("--split", default="test", choices=["train", "validation", "test"])
    serve.add_argument("--seed", type=whole_number(0), default=0, help="of the draw of pairs")
    serve.add_argument("--db", type=Path, default=DB, help=f"file of the answers (default {DB})")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this computer alone)")
    serve.add_argument("--port", type=whole_number(0, 65_535), default=8000, help="0: any free one")
    serve.set_defaults(run=_serve)
    score = commands.add_parser("score", help="print how often people were right")
    score.add_argument("--db", type=Path, default=DB, help=f"file of the answers (default {DB})")
    score.add_argument("--data_dir", type=Path, help="the data set that was served, where it has moved")
    score.add_argument("--incomplete", action="store_true", help="count people who have not answered all pairs too")
    score.add_argument("--draws", type=whole_number(1), default=1000, help="of the bootstrap (default 1000)")
    score.add_argument("--seed", type=whole_number(0), default=0, help="of the bootstrap")
    score.add_argument("--json", action="store_true", help="print one JSON object")
    score.set_defaults(run=_score)
    args = parser.parse_args(argv)
    try:
        return args.run(args)
    except (ValueError, OSError) as error:
        return fail(error)


if __name__ == "__main__":
    sys.exit(main())
