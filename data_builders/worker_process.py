"""Reading processes end with the process that they read for, even if it is killed and cannot tell them."""

import os
import threading
from functools import cache
from multiprocessing import parent_process


@cache
def end_with_parent() -> None:
    """Lets this process exit when its parent ends. Does nothing in a process that multiprocessing did not start."""
    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)  # not sys.exit: the process may wait for room in a queue that nobody reads any more

    threading.Thread(target=wait, daemon=True, name="end_with_parent").start()
