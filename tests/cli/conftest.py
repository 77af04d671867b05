"""A small demo world, its data set and a model trained on it: made once for all workers of a test run."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from ipa_jax.experiments.runs import Run
from ipa_jax.experiments.worlds import World
from tests.helpers.commands import succeed, succeed_here, train_flags

RUN = Run("full", "full", world=World(0, accounts=20, posts=40), size="tiny")  # of `trained`, as the studies name it


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder that all workers see."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Runs make(folder), or waits for the worker that does; returns the folder."""
    with FileLock(folder.with_name(folder.name + ".lock")):
        done = folder.with_name(folder.name + ".done")
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def demo_world(shared) -> Path:
    """Holds raw/, features/ and truth.parquet of 20 accounts with 40 posts of 48 px, and data/, built from them."""

    def make(folder: Path) -> None:
        succeed_here("demo-world", f"--out={folder}", *RUN.world.flags)
        succeed_here("build", "--config=configs/full.py:tiny", f"--raw={folder}/raw",
                f"--features={folder}/features", f"--data_dir={folder}/data")  # fmt: skip

    return once(shared / "world", make)


@pytest.fixture(scope="session")
def trained(shared, demo_world) -> Path:
    """The workdir of full.py:tiny trained on the world: 11 steps, evaluated and saved at 5, 10 and 11; log.txt."""

    def make(folder: Path) -> None:
        done = succeed("train", *train_flags("full", demo_world / "data", folder), JAX_LOG_COMPILES="1")
        folder.with_suffix(".txt").write_text(done.stdout + done.stderr)

    return once(shared / "trained", make)


@pytest.fixture
def study(demo_world, trained, tmp_path) -> Path:
    """An --out for `tables`, `protocols` and `choices` that already has the world, its data set and the full model.

    With WORLD, these commands find them by their names. Each test has a folder of its own, as they write into it.
    """
    out = tmp_path / "study"
    made = {RUN.world.folder(out): demo_world, RUN.data_dir(out): demo_world / "data"}
    for place, target in (made | {out / "compiled": Path(os.environ["JAX_COMPILATION_CACHE_DIR"])}).items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    shutil.copytree(trained, RUN.workdir(out), ignore=shutil.ignore_patterns("checkpoints"))
    return out
