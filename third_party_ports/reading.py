"""How the project reads its own files: whatever is wrong with one becomes one error that names it and the remedy."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_told: set[str] = set()  # what `warn_once` has said in this process
LONGEST = 200  # characters of another library's message


@contextmanager
def reading(place: Path | str, kind: type[Exception], remedy: str) -> Iterator[None]:
    """Turns whatever a library raises while the block reads a file into one error. Keep the block short.

    Args:
      place: the file, perhaps with a place in it; the message begins with it.
      kind: the error class of the artefact, one of our own; it takes one message. The block may raise it itself.
      remedy: what to do, such as "run ipa-jax build again"; the message ends with it.

    Raises:
      kind: the file is missing, cannot be opened, or cannot be parsed.
    """
    assert kind.__module__ != "builtins", "a library's ValueError would pass for ours"
    try:
        yield
    except kind:
        raise
    except FileNotFoundError as error:
        raise kind(f"{place} is missing; {remedy}") from error
    except OSError as error:
        if error.errno is None:  # pyarrow raises such a one for a file of another format
            raise damaged(place, kind, reason(error), remedy) from error
        raise kind(
            f"{place} cannot be read ({error.strerror}): check its permissions and the disk, or {remedy}"
        ) from error
    except Exception as error:  # every library has its own, and several raise any of Python's
        raise damaged(place, kind, reason(error), remedy) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of polars; it is no Exception
            raise
        raise damaged(place, kind, reason(error), remedy) from error


def json_object(content: bytes) -> dict[str, Any]:
    """The JSON object in the bytes of a file. Raises ValueError for other JSON, and what json raises."""
    value = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError(f"it holds a {type(value).__name__} in place of a JSON object")
    return value


def damaged(place: Path | str, kind: type[Exception], why: str, remedy: str) -> Exception:
    """The error for a file that does not hold what was written into it."""
    return kind(f"{place} is damaged ({why}); {remedy}")


def reason(error: BaseException) -> str:
    """Another library's message in one short line."""
    text = " ".join(str(error).split())
    if isinstance(error, KeyError):
        return f"it lacks {text}"
    return text[:LONGEST] or type(error).__name__


def warn_once(message: str) -> None:
    """Prints a warning on standard error, unless this process has already printed it."""
    if message not in _told:
        _told.add(message)
        print(f"warning: {message}", file=sys.stderr)
