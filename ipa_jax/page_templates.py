"""The templates of pages: what comes from data is escaped, and a name that nothing fills is an error."""

from pathlib import Path

import jinja2


def environment(*folders: Path) -> jinja2.Environment:
    """The templates of some folders, the first one first. Blocks leave no blank lines."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
