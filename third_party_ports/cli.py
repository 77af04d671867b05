"""What every command of the project shares: its parser, the types of its flags, its messages and exit statuses.

A command is a module with `main(argv) -> int`, decorated by `command`. It exits with 0 when it is done, 1 when it
failed, 2 when it was called in a wrong way, and says so in one line that starts with "error: ". Ctrl-C and SIGTERM end
it with 130 and 143.
"""

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from third_party_ports import disks, stopping
from third_party_ports.utf8 import start_again_in_utf8

DONE, FAILED, WRONG_USE = 0, 1, 2


class Parser(argparse.ArgumentParser):
    """The parser of the command `name`; its help is the docstring of the command's module."""

    def __init__(self, name: str = "", doc: str | None = None, *, prog: str | None = None, **more):
        shown = argparse.RawDescriptionHelpFormatter
        super().__init__(prog or f"ipa-jax {name}", description=doc, formatter_class=shown, allow_abbrev=False, **more)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """As argparse. A ~ that begins a value is the home folder, in every flag: no shell expands it behind a "=".

        An empty value is refused: --out=$FOLDER of an unset variable would be the working folder.
        """
        given = [home(word) for word in (sys.argv[1:] if args is None else args)]
        for before, word in zip(["", *given], given, strict=False):
            if not word or re.fullmatch(r"--\w+=", word):
                self.error(f"{word or before or 'an argument'} has an empty value: give one, or leave the flag out")
        return super().parse_known_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        """Ends the process with one line and status 2."""
        self.exit(WRONG_USE, f"error: {message} ({self.prog} --help lists the flags)\n")


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Adds the flag --verify of commands that read a data set; data_builders.dataset.GroupDataset takes its value."""
    parser.add_argument("--verify", choices=["full", "index"], default="full", help="what of the data set is checked "
                        "against its checksums: everything, or all but the hashes of the large shards "
                        "(default: %(default)s)")  # fmt: skip


def home(word: str) -> str:
    """A word of a command line with the home folder for each ~ that begins a path: "~/a", "--out=~/a", "=a,~/b"."""
    return re.sub(r"(?:^|(?<=[=,]))~(?:[A-Za-z_][\w.-]*)?(?=/|,|$)", lambda found: os.path.expanduser(found[0]), word)


Main = TypeVar("Main", bound=Callable[..., int])


def command(*, resumes: bool = False, page: bool = False) -> Callable[[Main], Main]:
    """Decorates the `main` of a command: it runs in UTF-8, signals stop it (stopping.py), and a full disk is one line.

    Args:
      resumes: whether the same command, run again, resumes what was stopped.
      page: whether it is a local page, which a signal ends as it should be: with the status of `main`.
    """

    def decorate(main: Main) -> Main:
        @wraps(main)
        def run(argv: Any = None) -> int:
            if argv is None:
                start_again_in_utf8()
                _plain_log()
            return stopping.run(lambda: _told(main, argv), resumes=resumes, page=page, program=argv is None)

        return cast(Main, run)

    return decorate


def _plain_log() -> None:
    """Lines of the log look like other lines for people: "warning: ...", without the library that wrote them."""
    handler = logging.StreamHandler()
    handler.format = lambda record: f"{record.levelname.lower()}: {record.getMessage()}"
    logging.basicConfig(handlers=[handler])


def _told(main: Callable[..., int], argv: Any) -> int:
    try:
        return main(argv)
    except Exception as error:
        if line := disks.explain(error):
            return fail(line)
        raise


def fail(error: BaseException | str, status: int = FAILED) -> int:
    """Says on standard error what is wrong; returns the exit status."""
    line = error if isinstance(error, str) else disks.explain(error) or _of_a_file(error) or str(error)
    print(f"error: {line}", file=sys.stderr)
    return status


def _of_a_file(error: BaseException) -> str | None:
    """The line for a file or folder that the system does not give or make; None for other errors."""
    if not isinstance(error, OSError) or error.strerror is None or not isinstance(error.filename, str):
        return None
    return f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}: name another file or folder"


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of a flag that takes a whole number from `least`, up to `most` where that is given."""
    wanted = f"must be {least} or more" if most is None else f"must be {least} to {most}"

    def read(text: str) -> int:
        number = _number(text)
        if number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"{wanted}, not {number}")
        return number

    return read


def whole_numbers(text: str) -> list[int]:
    """The type of a flag that takes whole numbers from 0, separated by commas, none twice: 0,1,2."""
    numbers = [whole_number(0)(word) for word in text.split(",")]
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"{text}: a number is given twice")
    return numbers


def words(text: str) -> list[str]:
    """The type of a flag that takes words, separated by commas."""
    return text.split(",")


def new_file(text: str) -> Path:
    """The type of a flag that names a file to write. Its folder is made at once, so that no work is done in vain."""
    file = Path(text)
    if file.is_dir():
        raise argparse.ArgumentTypeError(f"{file} is a folder: name a file in it")
    output_folder(str(file.parent))
    return file


def new_parquet(text: str) -> Path:
    """As `new_file`, for a Parquet file, which is the only form that tables are written in."""
    if Path(text).suffix != ".parquet":
        raise argparse.ArgumentTypeError(f"{text}: scores are written as Parquet: give the file the suffix .parquet")
    return new_file(text)


def output_folder(text: str) -> Path:
    """The type of a flag that names a folder to write into. It is made at once."""
    folder = Path(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f"the folder {folder} cannot be made ({error.strerror}): name another place"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"the folder {folder} cannot be written into: name another place")
    return folder


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
