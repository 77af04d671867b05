"""The project's commands as stages of a longer job: each in a process of its own, printed as it starts."""

import shlex
import subprocess
import sys


class StageError(RuntimeError):
    """A stage ended with an error; it printed why."""


def command(module: str, *arguments: str) -> None:
    """Runs `python -m module arguments`, printed first. Raises StageError."""
    print(f"\n$ python -m {module} {shlex.join(arguments)}", flush=True)
    if subprocess.run([sys.executable, "-m", module, *arguments]).returncode:
        raise StageError(f"python -m {module} {shlex.join(arguments)}")
