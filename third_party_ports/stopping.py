"""How a command ends on Ctrl-C and SIGTERM: one line, the shell's exit status 130 or 143, within two seconds.

The first signal raises `Stopped` in the main thread, so that temporary files go. A thread watches beside it: if the
main thread is in the midst of something long, or a second signal comes, it ends the process. Work that must not be cut,
such as a step of a training, runs under `deferred`.

Only that thread receives Ctrl-C: all others block it, and so do worker processes, from their first moment, because a
process inherits what the thread that starts it blocks. A terminal sends Ctrl-C to all of them.
"""

import faulthandler
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import ExtensionFileLoader
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType

from third_party_ports.first_moments import PARENT, SIGNALS
from third_party_ports.worker_process import own_workers

WAKE = signal.SIGURG  # wakes the main thread from waiting, so that it handles the Ctrl-C that another thread received
AGAIN = 0.05  # seconds until what a signal raised in a callback, where it goes nowhere, is raised again
STACK = b"Stack (most recent call first)"  # what faulthandler writes once for a signal
PATIENCE = 0.8  # seconds from a signal to the end
_LOADS = (ExtensionFileLoader.create_module.__code__, ExtensionFileLoader.exec_module.__code__)
RESUMES = "stopped; run the same command to resume"


class Stopped(KeyboardInterrupt):
    """A signal asked the command to stop; `number` says which."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


class Stop:
    """What one command was asked by signals.

    Attributes:
      asked: number of the first signal; 0: none came.
      resumes: whether the same command resumes the work.
      page: whether a signal is how the work ends.
    """

    def __init__(self) -> None:
        self.asked, self.resumes, self.page = 0, False, False
        self._deferred, self._raised, self._said = 0, False, False
        self._saying = threading.RLock()  # the main thread and the one that watches may both be about to say it

    def came(self, number: int, frame: FrameType | None = None) -> None:
        """The handler of the signals."""
        self.asked = self.asked or number
        if not self._deferred:
            _kill_workers()  # first: what they read from this process would end in the midst of a message
            self._raise(frame)

    def woken(self, _number: int, frame: FrameType | None = None) -> None:
        """The handler of WAKE."""
        if self.asked and not self._deferred:
            self._raise(frame)

    def lost(self) -> None:
        """What was raised went nowhere: it is raised again soon, outside of the callback that it met.

        Until then nothing is raised, or it would end in this callback too.
        """

        def again() -> None:
            while self._deferred:
                time.sleep(AGAIN)
            self._raised = False

        self._deferred += 1
        try:
            _wake_soon(again)
        finally:
            self._deferred -= 1

    @contextmanager
    def deferred(self) -> Iterator["Stop"]:
        """A signal waits until the block ends; `asked` tells the block."""
        self._deferred += 1
        try:
            yield self
        finally:
            self._deferred -= 1
        if self.asked and not self._deferred:
            self._raise()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """A part of a deferred block that a signal may cut."""
        kept, self._deferred = self._deferred, 0
        try:
            if self.asked:
                self._raise()
            yield
        finally:
            self._deferred = kept

    @property
    def waits(self) -> bool:
        """Whether a deferred block is under way."""
        return self._deferred > 0

    def say(self) -> int:
        """Says once that the command was stopped; returns its exit status."""
        with self._saying:
            if not self._said and PARENT not in os.environ:
                print(f"\n{RESUMES if self.resumes else 'stopped'}", file=sys.stderr, flush=True)
            self._said = True
        return 128 + self.asked

    def leave(self) -> None:
        """Ends the process at once, with its worker processes."""
        last = threading.Timer(0.3, os._exit, (128 + self.asked,))  # where nobody reads what is said
        last.daemon = True
        last.start()
        status = self.say()
        _kill_workers()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(status)

    def _raise(self, frame: FrameType | None = None) -> None:
        """`frame`: what the signal met."""
        if self._raised:
            return
        if loads_library(frame):
            _wake_soon()
            return
        self._raised = True
        raise Stopped(self.asked)


def loads_library(frame: FrameType | None) -> bool:
    """Whether a compiled module is being imported in this frame: many crash when their import ends in an exception."""
    while frame is not None:
        if frame.f_code in _LOADS:
            return True
        frame = frame.f_back
    return False


def _wake_soon(first: Callable[[], None] = lambda: None) -> None:
    """Calls `first` soon in another thread, then wakes the main one."""
    main = threading.main_thread().ident or 0

    def wake() -> None:
        first()
        signal.pthread_kill(main, WAKE)

    threading.Timer(AGAIN, wake).start()


def _kill_workers() -> None:
    """Kills the child processes, also those that are just being started, where the system lists them (Linux)."""
    pids = {child.pid for child in multiprocessing.active_children() if child.pid}
    for listed in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            pids |= {int(pid) for pid in listed.read_text().split()}
    helper = getattr(resource_tracker._resource_tracker, "_pid", None)  # type: ignore[attr-defined]
    for pid in pids - {helper}:  # the helper frees what the others shared
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


_running: list[Stop] = []  # of the command that this process runs


def if_asked() -> None:
    """Raises Stopped where a signal came, also within `deferred`: called where long work can be cut."""
    if _running and _running[-1].asked:
        raise Stopped(_running[-1].asked)


@contextmanager
def deferred(when: bool = True) -> Iterator[Stop]:
    """See Stop.deferred; outside a command, and unless `when` is set, no signal is held."""
    if not (_running and when):
        yield Stop()
        return
    with _running[-1].deferred() as stop:
        yield stop


def run(main: Callable[[], int], *, resumes: bool, program: bool, page: bool = False) -> int:
    """Runs the work of a command; returns its exit status.

    A command that a signal stopped has status 128 + the signal's number, whatever its main returns.

    Args:
      main: the work.
      resumes: whether the same command resumes it.
      page: whether a signal is how the work ends, so that main's own status stands.
      program: whether the process ends with the command; then nothing else of it is waited for.
    """
    if _running:  # a command that calls another one's main
        _running[-1].resumes, _running[-1].page = resumes, page
        return main()
    if threading.current_thread() is not threading.main_thread():
        return main()  # only the main thread has handlers
    if program:  # multiprocessing's helper, which inherits this, reports what it tidies up after a killed process
        sys.warnoptions.append("ignore:resource_tracker:UserWarning")
        own_workers()
    stop = Stop()
    stop.resumes, stop.page = resumes, page
    try:
        with _watched(stop, program):
            try:
                status = main()
                if stop.page:
                    return status
            except BaseException as error:  # Stopped, or what a library made of it
                if isinstance(error, KeyboardInterrupt):
                    stop.asked = stop.asked or signal.SIGINT
                if not stop.asked:
                    raise
                status = stop.say()
            if stop.asked and program:
                stop.leave()
    except KeyboardInterrupt:  # it came while the handlers were being set or put back
        stop.asked = stop.asked or signal.SIGINT
    return stop.say() if stop.asked else status


@contextmanager
def _watched(stop: Stop, program: bool) -> Iterator[None]:
    before = {WAKE: signal.signal(WAKE, stop.woken)}
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup asks
            before[number] = signal.signal(number, stop.came)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT] if program else [])
    # faulthandler tells of a signal at once, whatever the main thread does. Python's own way for that, set_wakeup_fd,
    # is taken away by event loops.
    pipes = {number: os.pipe() for number in before if number != WAKE}
    for number, (ours, theirs) in pipes.items():
        os.set_blocking(ours, False)
        os.set_blocking(theirs, False)
        faulthandler.register(number, theirs, all_threads=False, chain=True)
    ended, (done, tell) = threading.Event(), os.pipe()  # the pipe: no command waits for the watcher's next look
    told = {ours: number for number, (ours, _) in pipes.items()}
    watcher = threading.Thread(target=_watch, args=(stop, told, ended, done), daemon=True, name="stopping")
    watcher.start()
    _running.append(stop)
    say, of_threads = sys.unraisablehook, threading.excepthook
    # Of a destructor, or of a callback of the garbage collector: Python prints what they raise, and continues.
    sys.unraisablehook = hook = lambda args: stop.lost() if isinstance(args.exc_value, Stopped) else say(args)
    # Of threads whose worker processes were killed: the line that the command was stopped says it all.
    threading.excepthook = lambda args: None if stop.asked else of_threads(args)
    try:
        yield
    finally:
        threading.excepthook = of_threads
        if sys.unraisablehook is hook:  # what the work put around it stays
            sys.unraisablehook = say
        _running.remove(stop)
        ended.set()
        os.write(tell, b"\0")
        for number in pipes:
            faulthandler.unregister(number)
        for number, handler in before.items():  # the work of a program is done: its last moments are not cut
            signal.signal(number, signal.SIG_IGN if program and number != WAKE else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        watcher.join()
        for end in (done, tell, *(end for pipe in pipes.values() for end in pipe)):
            os.close(end)


def _watch(stop: Stop, told: dict[int, int], ended: threading.Event, done: int) -> None:
    """Ends the process at the second signal, or when the main thread does not end it in time.

    Args:
      told: pipes to read from, and the number of the signal that each tells of.
      ended: set when the work is done.
      done: a pipe that tells of that.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    came: list[int] = []
    deadline, parent = None, int(os.environ.get(PARENT, 0))
    while not ended.is_set():
        for pipe in {*select.select([*told, done], [], [], 0.25)[0]} - {done}:
            came += [told[pipe]] * os.read(pipe, 1 << 16).count(STACK)
            signal.pthread_kill(threading.main_thread().ident or 0, WAKE)
        if parent and os.getppid() != parent:
            parent = 0
            os.kill(os.getpid(), signal.SIGTERM)
        if not came or (stop.waits and len(came) == 1):
            continue
        deadline = deadline or time.monotonic() + PATIENCE
        if (len(came) > 1 or time.monotonic() > deadline) and not ended.is_set():
            stop.asked = stop.asked or came[0]  # in compiled code the handler has not run yet
            stop.leave()
