"""The tiny world that tests of a built data set share."""

import pytest

from tests.helpers import tiny_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    tiny_world.write(folder)
    return folder
