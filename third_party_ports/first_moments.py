"""Signals while a program still loads: one line and the shell's exit status, as later (stopping.py). Imports little."""

import os
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last one: its terminal was closed
PARENT = "IPA_JAX_PARENT"  # environment variable of a step: the process that runs it, which speaks for both


def answer_signals() -> None:
    """From here on a signal ends this process at once; `stopping.run` takes over."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup asks
            signal.signal(number, _end)


def _end(number: int, _frame: object) -> None:
    for other in SIGNALS:  # a second one would say it again
        signal.signal(other, signal.SIG_IGN)
    if PARENT not in os.environ:
        os.write(2, b"\nstopped\n")
    os._exit(128 + number)
