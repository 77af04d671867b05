"""Reading processes end with the process they read for, even when that one is killed and cannot tell them."""

import os
import threading
from functools import cache
from multiprocessing import parent_process


@cache
def end_with_parent() -> None:
    """In a process that multiprocessing started: watches its parent from now on. Elsewhere nothing."""
    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)  # the process may be waiting for room in a queue that nobody reads any more

    threading.Thread(target=wait, daemon=True, name="end_with_parent").start()
