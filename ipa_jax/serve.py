"""Ranks new photos of an account on a local page: drop photos, and see their order build up.

    ipa-jax serve --history HISTORY [--account NAME] [--export DIR] [--keep DIR]

HISTORY is what you have of your posts with their likes, as for `ipa-jax rank`. Open the address that the command
prints, and drop photos or a folder there. You can compare two photos side by side, open the reasons, and mark your own
picks. Nothing leaves this computer. The photos that you drop are deleted when you stop the page with Ctrl-C, unless
--keep names an empty folder for them.
"""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from third_party_ports import stopping
from third_party_ports.cli import DONE, WRONG_USE, Parser, command, fail, output_folder, whole_number


@command(page=True)
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = Parser("serve", __doc__)
    parser.add_argument("--history", type=Path, required=True, help="the account's posts with their likes")
    parser.add_argument("--account", help="whose history, if it holds several accounts")
    parser.add_argument("--export", type=Path, help="the export/ folder of a trained model")
    text = "what describes photos: networks that come with pip, or those of `ipa-jax fetch` (default: light)"
    parser.add_argument("--profile", default="light", choices=("light", "paper"), help=text)
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder of the paper profile's weights")
    text = "address to listen on (default: only this computer); with another one the page's address holds a secret"
    parser.add_argument("--host", default="127.0.0.1", help=text)
    parser.add_argument("--port", type=whole_number(0, 65_535), default=0, help="default: any free port")
    parser.add_argument("--keep", type=output_folder, help="empty folder that keeps the photos and your picks")
    args = parser.parse_args(argv)
    if args.keep and any(args.keep.iterdir()):
        return fail(f"--keep {args.keep}: the folder is not empty; name a new one", WRONG_USE)

    # Before numpy loads: on a busy machine several threads make its small matrix products slower, not faster.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from absl import logging

    from ipa_jax import local_page
    from ipa_jax.applications.account import open_account
    from ipa_jax.applications.serve.session import Session
    from ipa_jax.applications.serve.web import create_app

    logging.set_verbosity("warning")
    try:
        with stopping.deferred() as stop, ExitStack() as held:  # deferred: the photos are always deleted
            sockets = held.enter_context(local_page.listening(args.host, args.port))
            with stop.at_once():
                account = open_account(args.history, args.account, args.export, args.profile, args.weights)
            scratch = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="ipa-jax-serve-")))
            folder = args.keep or scratch / "photos"
            folder.mkdir(exist_ok=True)
            session = Session(account, folder, scratch)
            if args.keep:
                held.callback(session.write_list)
            held.callback(session.stop)  # before the list is written
            token = local_page.new_token(args.host)
            app = create_app(session, hosts=local_page.trusted_hosts(args.host), token=token)
            for url in local_page.addresses(sockets):
                print(f"page: {url.removesuffix('/')}{local_page.root(app)}", flush=True)
            kept = f"stay in {args.keep}" if args.keep else "are deleted"
            print(f"Ctrl-C stops the page; its photos then {kept}.", flush=True)
            with stop.at_once():
                local_page.serve(app, sockets)
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        return fail(error)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
