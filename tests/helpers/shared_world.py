"""A small demo world, its data set and a model trained on it: made once for all workers of a test run."""

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from ipa_jax.experiments.runs import Run
from ipa_jax.experiments.worlds import World
from tests.helpers.commands import succeed, succeed_here, train_flags

RUN = Run("full", "full", world=World(0, accounts=20, posts=40), size="tiny")  # as the studies name it


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Runs make(folder), or waits for the worker that does; returns the folder."""
    with FileLock(folder.with_name(folder.name + ".lock")):
        done = folder.with_name(folder.name + ".done")
        if not done.exists():
            make(folder)
            done.touch()
    return folder


def world(place: Path) -> Path:
    """place/world with raw/, features/ and truth.parquet of 20 accounts with 40 posts of 48 px, and data/, built from
    them."""

    def make(folder: Path) -> None:
        succeed_here("demo-world", f"--out={folder}", *RUN.world.flags)
        succeed_here("build", "--config=configs/full.py:tiny", f"--raw={folder}/raw",
                f"--features={folder}/features", f"--data_dir={folder}/data")  # fmt: skip

    return once(place / "world", make)


def trained(place: Path) -> Path:
    """place/trained, the workdir of full.py:tiny trained on the world: 11 steps, evaluated and saved at 5, 10 and 11.
    What it printed is in place/trained.txt."""

    def make(folder: Path) -> None:
        done = succeed("train", *train_flags("full", world(place) / "data", folder), JAX_LOG_COMPILES="1")
        folder.with_suffix(".txt").write_text(done.stdout + done.stderr)

    return once(place / "trained", make)
