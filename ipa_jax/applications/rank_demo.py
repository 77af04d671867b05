"""`ipa-jax rank --demo`: a drawn account with made-up likes, whose newest photos are ranked by its older posts."""

import shutil
from pathlib import Path

import polars as pl

from data_builders.demo_world.account import Arguments
from data_builders.demo_world.parameters import Parameters
from data_builders.demo_world.write import write_world
from data_builders.posts.history import open_history
from ipa_jax.applications.history_flags import Source
from ipa_jax.applications.rank_job import Asked, run
from third_party_ports.files import write_bytes

POSTS, NEW, SIDE = 240, 24, 224  # posts of the account, those of them that are ranked as new, pixels of a photo
SEED = 1
WORLD = Parameters(constant_accounts=0, silent_accounts=0, carousels=0.0)


def demo(out: Path) -> None:
    """Draws OUT/demo once, ranks its new photos, and writes the page. Raises as `rank_job.run` and `write_world`."""
    folder = out / "demo"
    folder.mkdir(exist_ok=True)
    print("These photos are drawn and their likes are made up.")
    write_world(folder / "world", Arguments(accounts=1, posts=POSTS, side=SIDE, depth_side=8, seed=SEED), WORLD)
    history, photos = folder / "history", folder / "photos"
    if not (history / "posts.csv").is_file():
        _lay_out(folder / "world/raw", history, photos, folder)
    run(Asked(Source(history), [photos], pick="25%"), out, made_up=True)


def _lay_out(raw: Path, history: Path, photos: Path, cache: Path) -> None:
    """The older posts as a folder with posts.csv, the newest ones as photos alone."""
    opened = open_history(raw, None, cache)
    posts = opened.table.with_columns(path=pl.col("image_paths").list.first())
    for folder in (history, photos):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    for path in posts["path"][:-NEW]:
        shutil.copyfile(raw / path, history / Path(path).name)
    for number, path in enumerate(posts["path"][-NEW:], start=1):
        shutil.copyfile(raw / path, photos / f"new_{number:02}.jpg")
    table = posts[:-NEW].select(
        image=pl.col("path").map_elements(lambda path: Path(path).name, pl.String),
        account="account",
        likes="likes",
        timestamp="time",
    )
    write_bytes(history / "posts.csv", table.write_csv().encode())  # last: without it the layout is made anew
