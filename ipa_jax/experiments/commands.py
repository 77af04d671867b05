"""Runs the project's commands as steps of a longer job, each in a process of its own. Prints each as it starts."""

import os
import shlex
import subprocess
import sys

from third_party_ports import stopping


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
    with stopping.deferred() as stop:
        status, printed = _run([sys.executable, "-m", "ipa_jax", name, *arguments], stop, capture)
    if status:
        raise StageError(f"this step failed: {line}; fix what it says above, then run your command again")
    return printed


def _run(line: list[str], stop: stopping.Stop, capture: bool) -> tuple[int, str]:
    """Exit status and output of a step. A signal that asks this process to stop is handed on, and its end awaited."""
    environment = os.environ | {stopping.PARENT: str(os.getpid())}
    # A process group of its own: Ctrl-C in a terminal reaches this process alone, which hands it on once.
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE if capture else None, text=True, env=environment, process_group=0
    )
    printed, told = "", False
    while True:
        try:
            printed, _ = process.communicate(timeout=0.1)
            return process.returncode, printed or ""
        except subprocess.TimeoutExpired:
            if stop.asked and not told:
                process.send_signal(stop.asked)
                told = True
