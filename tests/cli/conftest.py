"""A study that already has the shared world, its data set and the model trained on it."""

import os
import shutil
from pathlib import Path

import pytest

from tests.helpers.shared_world import RUN


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
