"""File names and texts are UTF-8 here, whatever the terminal says.

Under LC_ALL=C or a Latin-1 locale Python encodes the name of a photo in another way than the disk, and misses it.
"""

import os
import sys


def start_again_in_utf8() -> None:
    """Starts the program of this process again in Python's UTF-8 mode, unless it is in UTF-8 already.

    Its worker processes inherit the mode. Call it before any work, in a process that is a command.
    """
    if sys.getfilesystemencoding().lower() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
