"""Worker processes: they end with the process that they work for, even if it is killed and cannot tell them."""

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import resource_tracker
from typing import Any

from third_party_ports.reading import warn_once

SHARED = 1 << 30  # bytes: a batch of photos is smaller
PAUSE = 0.25  # seconds between two looks at the parent
OWNER = "IPA_JAX_OWNER"  # environment variable: the process whose workers inherit it; a worker may load for long


@cache
def end_with_parent() -> None:
    """Lets this process exit when its parent ends, and leaves Ctrl-C to the parent, which ends this process too.

    Does nothing in a process that multiprocessing did not spawn. After `before_workers` it is the first thing that a
    new worker does: before it loads what it works with, and before multiprocessing itself knows its parent.
    """
    if "--multiprocessing-fork" not in sys.orig_argv:
        return
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = int(os.environ.get(OWNER, os.getppid()))

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PAUSE)
        os._exit(1)  # not sys.exit: the process may be blocked on a full queue that no longer has a reader

    threading.Thread(target=watch, daemon=True, name="end_with_parent").start()


def own_workers() -> None:
    """Lets workers that this process starts know it, even if it is gone before they look for their parent."""
    os.environ[OWNER] = str(os.getpid())


class _EndWithParent:
    """Calls end_with_parent where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return end_with_parent, ()


def before_workers() -> None:
    """To be called before workers are started: they end with this process, and do not see Ctrl-C.

    They inherit what this thread blocks, but multiprocessing unblocks it as it starts its resource tracker.
    """
    # What multiprocessing copies to a worker before the worker's own work. Grain, which starts workers too, has no hook
    # that comes as early.
    multiprocessing.current_process()._config["end_with_parent"] = _EndWithParent()  # type: ignore[attr-defined]
    resource_tracker.ensure_running()
    if os.environ.get(OWNER) == str(os.getpid()):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])


def within_limits(wanted: int) -> int:
    """How many of the processes that are wanted may read photos; 0: threads read them, to the same result.

    They hand photos over in shared memory, which a limit on the size of files bounds too. What a photo that does not
    fit ends in names no file.
    """
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if not wanted or limit == resource.RLIM_INFINITY or limit >= SHARED:
        return wanted
    warn_once(f"files of at most {limit:,} bytes are allowed here (ulimit -f), so photos are read in threads, not in "
              "processes, which takes longer")  # fmt: skip
    return 0


def map_in_processes(work: Callable[..., Any], *columns: Iterable[Any], processes: int) -> Iterator[Any]:
    """work(...) of each row of the columns, in order, by some processes at a time; by this one alone if it is one.

    Args:
      work: a function of a module, or a partial of one. What it raises is raised here.
      columns: its arguments.
      processes: how many. They are spawned, not forked: polars and jax have threads, and a forked child can wait for
        their locks for ever.
    """
    if processes == 1:
        yield from map(work, *columns)
        return
    before_workers()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=end_with_parent) as pool:
        try:
            yield from pool.map(work, *columns)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
