"""Types for argparse's flags. What is wrong with a value is said before any work, behind the name of the flag."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path


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
    """The type of a flag that takes whole numbers from 0 with commas between, none twice: 0,1,2."""
    numbers = [whole_number(0)(word) for word in text.split(",")]
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"{text}: one number stands there twice")
    return numbers


def new_file(text: str) -> Path:
    """The type of a flag that names a file to write, whose folder is made at once: no work is done for nothing."""
    file = Path(text)
    if file.is_dir():
        raise argparse.ArgumentTypeError(f"{file} is a folder: name a file in it")
    output_folder(str(file.parent))
    return file


def output_folder(text: str) -> Path:
    """The type of a flag that names a folder to write into, which is made at once."""
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
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
