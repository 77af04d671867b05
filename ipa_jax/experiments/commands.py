"""The project's commands as stages of a longer job: each in a process of its own, printed as it starts."""

import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StageError(RuntimeError):
    """A stage ended with an error; it printed why."""


def command(name: str, *arguments: str) -> None:
    """Runs `python -m ipa_jax NAME ARGUMENTS`, printed first; the stage ends with this process. Raises StageError."""
    print(f"\n$ python -m ipa_jax {name} {shlex.join(arguments)}", flush=True)
    with _terminate_as_exit():
        ended = subprocess.run([sys.executable, "-m", "ipa_jax", name, *arguments])
    if ended.returncode:
        raise StageError(f"python -m ipa_jax {name} {shlex.join(arguments)}")


@contextmanager
def _terminate_as_exit() -> Iterator[None]:
    """SIGTERM as SystemExit, at which subprocess.run ends its process: by itself the signal would leave that behind."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only there may handlers be set
        return

    def leave(*_) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
