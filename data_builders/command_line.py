"""Flags of the commands that take a config: a misspelt field or file ends with a sentence, not with a traceback."""

import sys

from absl import app


def parse_flags(argv: list[str]) -> list[str]:
    """For app.run(main, flags_parser=parse_flags): absl's own parser, but for what ml_collections raises."""
    try:
        return app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError) as error:  # ml_collections names the field, and a near one where there is one
        field = str(error).replace("\\n", ". ").replace("\\", "").strip("\"'")  # a message quoted twice
        sys.exit(f"error: no such field of --config: {field} (all fields and their defaults are in configs/full.py)")
    except OSError as error:
        sys.exit(f"error: --config: no such file ({' '.join(str(error).split())}); the configs are in configs/")
