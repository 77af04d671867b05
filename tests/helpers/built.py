"""Builds the data set of tests/helpers/tiny_world.py in this process."""

import contextlib
import io
from pathlib import Path

from configs import full
from data_builders.top3000.build import build
from tests.helpers import tiny_world


def config(**changes):
    """configs/full.py at tiny size with the depth side of the tiny world; a change: memory={"exclude": "post"}."""
    config = full.get_config("tiny")
    config.data.depth.side = tiny_world.SIDE
    for section, fields in changes.items():
        config.data[section].update(fields)
    return config


def build_quietly(world: Path, data_dir: Path, **options) -> Path:
    """`build` of world/raw and world/features without its tables; keyword `config` replaces the default one."""
    chosen = options.pop("config", None) or config()
    with contextlib.redirect_stdout(io.StringIO()):
        return build(chosen.data.to_dict(), world / "raw", world / "features", data_dir, **options)
