"""The flags that `tables`, `protocols`, `choices` and `demo` share, and the exit status of these commands.

Nothing heavy is imported here, so that --help is quick. study.py acts on the flags.
"""

import shlex
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from ipa_jax.experiments.commands import StageError
from third_party_ports import files
from third_party_ports.cli import (
    DONE,
    FAILED,
    WRONG_USE,
    Parser,
    fail,
    new_file,
    output_folder,
    whole_number,
    whole_numbers,
    words,
)


class UsageError(ValueError):
    """A flag names something that does not exist; the message names the flag and what it can be."""


def parser(
    name: str, doc: str | None, *, seeds: Sequence[int], sizes: Sequence[str] = ("demo", "tiny"), data_dir: bool = False
) -> Parser:
    """A parser with the flags of every command here: where to write, which worlds, and what size.

    Args:
      name, doc: the command and its docstring.
      seeds: the default of --seeds.
      sizes: what --size can be; the default is demo.
      data_dir: whether a built data set can take the place of the demo worlds.
    """
    made = Parser(name, doc)
    made.add_argument("--out", type=output_folder, required=True, help="folder for worlds, data sets, runs and pages")
    text = ", or training seeds with --data_dir" if data_dir else ""
    given = ",".join(map(str, seeds))
    made.add_argument("--seeds", type=whole_numbers, default=list(seeds), metavar="N,N,...",
                      help=f"one demo world and training run for each seed{text} (default: {given})")  # fmt: skip
    made.add_argument("--accounts", type=whole_number(1), default=240, help="accounts in each world (default: 240)")
    made.add_argument("--posts", type=whole_number(1), default=80, help="posts of each account (default: 80)")
    made.add_argument("--size", default="demo", choices=sizes, help="size of the models (default: demo)")
    if data_dir:
        made.add_argument("--data_dir", type=Path, help="a built data set to use instead of demo worlds")
    return made


def add_records(made: Parser, name: str) -> None:
    """Adds --records, --page and --overwrite, for commands that keep a record of each run and write a page."""
    made.add_argument(
        "--records", type=output_folder, help=f"folder of the runs' records (default: OUT/records/{name})"
    )
    made.add_argument("--page", type=new_file, help="the Markdown page to write (default: a page in OUT)")
    made.add_argument("--overwrite", action="store_true", help="make a run again if its record is of another run")


def add_only(made: Parser) -> None:
    """Adds --only, for some rows of a page."""
    made.add_argument("--only", type=words, metavar="NAME,...", help="run only these rows, and what they need "
                      "(default: all); other rows keep their records")  # fmt: skip


def add_configs(made: Parser, text: str, default: Sequence[str] | None = None) -> None:
    """Adds --configs, names of shipped configs; `text` is its help."""
    made.add_argument("--configs", type=words, default=default, metavar="NAME,...", help=text)


def command_line(name: str, argv: Sequence[str]) -> str:
    """The command that makes a page again, as the page prints it: without --overwrite, which would repeat runs."""
    return shlex.join(["python", "-m", "ipa_jax", name, *(word for word in argv if word != "--overwrite")])


def exit_status(make: Callable[[Namespace, str], None], args: Namespace, command: str) -> int:
    """Runs the work of a command; returns its exit status. An expected error becomes one line."""
    try:
        with files.lock(args.out):
            make(args, command)
    except UsageError as error:
        return fail(error, WRONG_USE)
    except (StageError, ValueError, OSError) as error:
        return fail(error, FAILED)
    return DONE
