"""Drawn worlds for benchmarks that need a data set."""

import contextlib
import io
from pathlib import Path


def drawn(folder: Path, accounts: int, posts: int, side: int, depth_side: int, posts_per_day: float = 0.46) -> Path:
    """Draws a world, builds its data set without a word and returns the --data_dir.

    Args:
      folder: a new one.
      accounts, posts: how many, and how many good posts each has.
      side, depth_side: pixels of a photo and of a depth map.
      posts_per_day: of an account.
    """
    from configs import full
    from data_builders.demo_world.account import Arguments
    from data_builders.demo_world.parameters import Parameters
    from data_builders.demo_world.write import write_world
    from data_builders.top3000.build import build

    options = full.get_config().data.to_dict()
    options["depth"]["side"] = depth_side
    with contextlib.redirect_stdout(io.StringIO()):
        write_world(folder, Arguments(accounts, posts, side, depth_side, 0), Parameters(posts_per_day=posts_per_day))
        build(options, folder / "raw", folder / "features", folder / "data")
    return folder / "data"
