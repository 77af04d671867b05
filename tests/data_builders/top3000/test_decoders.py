"""A build warns if its photos and those of the store were decoded by different versions of a library."""

import json

import pytest

from data_builders import photos
from data_builders.top3000 import prepare
from tests.helpers import tiny_world
from third_party_ports import seals

OLD = {"pillow": "11.0.0"}


@pytest.mark.parametrize(
    ("stored", "named"),
    [(None, False), ([photos.versions()], False), ([OLD], True), ([OLD, photos.versions()], True), ([{}], True)],
)
def test_a_mixture_is_a_warning_of_the_build(tmp_path, stored, named):
    tiny_world.write(tmp_path, accounts=6, posts=40)
    file = tmp_path / "features" / "header.json"
    if stored is not None:
        seals.write_json(file, json.loads(file.read_text()) | {"decoded_with": stored})
    prepared = prepare.prepare(tmp_path / "raw", tmp_path / "features", tiny_world.options())
    found = [warning for warning in prepared.skips.warnings if "decoded" in warning]
    assert bool(found) == named
    if named:
        assert str(tmp_path / "features") in found[0] and f"pillow {photos.versions()['pillow']}" in found[0]
