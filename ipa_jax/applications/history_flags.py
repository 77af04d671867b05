"""What `rank`, `thumbnail` and `select` share on the command line: whose history, what scores, where to write.

Imports nothing heavy: commands need it for --help.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from absl import logging

from third_party_ports import files
from third_party_ports.cli import DONE, WRONG_USE, fail, output_folder

SCORERS, PROFILES = ("auto", "model", "retrieval", "probe", "mean"), ("light", "paper")


class WrongUse(ValueError):
    """A flag has a value that cannot work; the message names the flag."""


@dataclass(frozen=True)
class Source:
    """What photos are ranked by; the fields are flags."""

    history: Path | None
    account: str | None = None
    scorer: str = "auto"
    export: Path | None = None
    profile: str = "light"
    weights: Path = Path("weights")

    def check(self) -> None:
        """Raises WrongUse if a path does not exist."""
        for flag, path in (("--history", self.history), ("--export", self.export)):
            if path is not None and not path.expanduser().exists():
                raise WrongUse(f"{flag}: {path} does not exist")


def add(parser: argparse.ArgumentParser, out: str) -> None:
    """Adds the flags; `out` is the default of --out."""
    parser.add_argument("--history", type=Path, help="the account's posts with their likes: a folder, a zip or a .csv")
    parser.add_argument("--account", help="whose history, if it holds several accounts")
    parser.add_argument("--out", type=output_folder, default=out, help=f"folder to write (default: {out})")
    text = "what ranks (default: auto, the one that was right most often on the account's past)"
    parser.add_argument("--scorer", default="auto", choices=SCORERS, help=text)
    parser.add_argument("--export", type=Path, help="the export/ folder of a trained model, for model and auto")
    text = "what describes photos: networks that come with pip, or those of `ipa-jax fetch` (default: light)"
    parser.add_argument("--profile", default="light", choices=PROFILES, help=text)
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder of the paper profile's weights")


def source(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Source:
    """The flags as they were given; ends the process if they contradict each other."""
    if args.scorer == "model" and not args.export:
        parser.error("--scorer=model needs --export=DIR")
    return Source(args.history, args.account, args.scorer, args.export, args.profile, args.weights)


def one_thread() -> None:
    """To be called before numpy loads: on a busy machine several threads make its small matrix products slower."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def work(out: Path, job: Callable[[], object]) -> int:
    """Runs a job while the folder `out` is held; returns the command's exit status."""
    logging.set_verbosity("warning")
    try:
        with files.lock(out):
            job()
    except WrongUse as error:
        return fail(error, WRONG_USE)
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        return fail(error)
    return DONE
