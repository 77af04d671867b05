"""A small demo world, its data set and a model trained on it: made once for all workers of a test run."""

import fcntl
from pathlib import Path

import pytest

from tests.helpers.commands import succeed, train_flags


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder that all workers see."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


def once(folder: Path, make) -> Path:
    """Runs make(folder) unless another worker has, one at a time."""
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder.with_name(folder.name + ".done")
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def demo_world(shared) -> Path:
    """Holds raw/, features/ and truth.parquet of 20 accounts with 40 posts of 48 px, and data/, built from them."""

    def make(folder: Path) -> None:
        size = ("--accounts", "20", "--posts", "40", "--side", "48")
        succeed("demo-world", f"--out={folder}", *size)
        succeed("build", "--config=configs/full.py:tiny", f"--raw={folder}/raw",
                f"--features={folder}/features", f"--data_dir={folder}/data")  # fmt: skip

    return once(shared / "world", make)


@pytest.fixture(scope="session")
def trained(shared, demo_world) -> Path:
    """The workdir of full.py:tiny trained on the world: 11 steps, evaluated and saved at 5, 10 and 11; log.txt."""

    def make(folder: Path) -> None:
        done = succeed("train", *train_flags("full", demo_world / "data", folder), JAX_LOG_COMPILES="1")
        folder.with_suffix(".txt").write_text(done.stdout + done.stderr)

    return once(shared / "trained", make)
