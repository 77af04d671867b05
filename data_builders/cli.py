"""Flags of the commands that take a config: a misspelt or missing one ends with a sentence, not with a traceback."""

import re
import sys

from absl import flags


def parse_flags(argv: list[str]) -> list[str]:
    """For app.run(main, flags_parser=parse_flags): absl's own parser, but for what it and ml_collections raise."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        missing = re.findall(r"flag (--\S+)=None: Flag \S+ must have a value", str(error))
        wrong = f"{', '.join(missing)} must be given" if missing else " ".join(str(error).split())
        sys.exit(f"error: {wrong} (--help lists the flags)")
    except (AttributeError, KeyError) as error:  # ml_collections names the field, and a near one where there is one
        field = str(error).replace("\\n", ". ").replace("\\", "").strip("\"'")  # a message quoted twice
        sys.exit(f"error: no such field of --config: {field} (all fields and their defaults are in configs/full.py)")
    except OSError as error:
        sys.exit(f"error: --config: no such file ({' '.join(str(error).split())}); the configs are in configs/")
