"""Runs the project's commands as steps of a longer job, each in a process of its own. Prints each as it starts."""

import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StageError(RuntimeError):
    """A step failed; its own output says why."""


def command(name: str, *arguments: str, capture: bool = False) -> str:
    """Prints and runs `python -m ipa_jax NAME ARGUMENTS`. If this process is stopped, so is the step.

    Args:
      capture: return what the step prints on standard output instead of showing it.
    Returns:
      That output, "" unless `capture` is set.
    Raises:
      StageError: the exit status of the step is not 0.
    """
    line = f"python -m ipa_jax {name} {shlex.join(arguments)}"
    print(f"\n$ {line}", flush=True)
    with _terminate_as_exit():
        ended = subprocess.run(
            [sys.executable, "-m", "ipa_jax", name, *arguments], stdout=subprocess.PIPE if capture else None, text=True
        )
    if ended.returncode:
        raise StageError(f"this step failed: {line}; fix what it says above, then run your command again")
    return ended.stdout or ""


@contextmanager
def _terminate_as_exit() -> Iterator[None]:
    """SIGTERM raises SystemExit, so that subprocess.run stops its process, which would keep running otherwise."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def leave(*_) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
