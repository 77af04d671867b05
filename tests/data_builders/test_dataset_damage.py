"""Tests of a data set that is not as it was built: damaged, incomplete, moved, or of an earlier version."""

import pickle
import shutil

import numpy as np
import pytest

from data_builders import dataset as datasets
from data_builders.dataset import DatasetError, GroupDataset, read_metadata
from tests.helpers.built import build_quietly
from tests.helpers.damage import flips, require_noticed

SHARD = "top3000-test.array_record-00000-of-00001"


@pytest.fixture(scope="module")
def built(world, tmp_path_factory):
    return build_quietly(world, tmp_path_factory.mktemp("data"))


@pytest.fixture
def folder(built, tmp_path):
    """A copy to damage."""
    return shutil.copytree(built, tmp_path / "top3000/1.2.0")


def groups(folder, **options):
    return GroupDataset(folder, "test", **options).get([0, 1])


def same(ours, theirs):
    return all(np.array_equal(a[name], b[name]) for a, b in zip(ours, theirs, strict=True) for name in a)


LOADS = {
    "images-test.parquet": lambda folder: GroupDataset(folder, "test").images.to_dicts(),
    "groups-test.parquet": lambda folder: GroupDataset(folder, "test").groups.to_dicts(),
    "metadata.json": read_metadata,
    "checksums.json": lambda folder: datasets.open_checksums(folder).files,
}


@pytest.mark.parametrize("name", LOADS)
def test_a_damaged_file_is_named(folder, name):
    require_noticed(folder / name, lambda: LOADS[name](folder), DatasetError, lambda a, b: a == b)


def test_a_damaged_shard_is_named_before_a_record_is_read(folder):
    require_noticed(folder / SHARD, lambda: groups(folder), DatasetError, same)
    for flip in flips(folder / SHARD, 1):
        for read in (len, pickle.dumps, GroupDataset.verify):
            with pytest.raises(DatasetError, match=rf"{SHARD} is damaged .*ipa-jax build --overwrite"):
                read(GroupDataset(folder, "test"))
                pytest.fail(flip)


def test_verify_index_compares_the_sizes_of_shards_alone(folder):
    shard = folder / SHARD
    content = shard.read_bytes()
    for _ in flips(shard, 1):
        GroupDataset(folder, "test", verify="index").verify()
    shard.write_bytes(content + b"\0")
    with pytest.raises(DatasetError, match=SHARD):
        groups(folder, verify="index")


def test_reading_processes_hash_nothing_again(folder, monkeypatch):
    dataset = GroupDataset(folder, "test")
    sent = pickle.dumps(dataset)
    monkeypatch.setattr(datasets.Checksums, "check", None)
    monkeypatch.setattr(datasets, "open_checksums", None)
    received = pickle.loads(sent)  # noqa: S301 - its own pickle
    assert same(received.get([0]), dataset.get([0])) and len(received.images) == len(dataset.images)


def test_a_lost_shard_is_told_by_the_others_names(folder):
    (folder / SHARD).rename(folder / SHARD.replace("of-00001", "of-00002"))
    with pytest.raises(DatasetError, match="1 of 2 shards of test"):
        groups(folder)


def test_a_file_from_another_data_set_is_noticed(folder):
    shutil.copy(folder / "images-validation.parquet", folder / "images-test.parquet")
    with pytest.raises(DatasetError, match=r"images-test\.parquet is damaged"):
        _ = GroupDataset(folder, "test").images


@pytest.mark.parametrize("name", ["images-test.parquet", "metadata.json", SHARD])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    dataset = GroupDataset(folder, "test")
    with pytest.raises(DatasetError, match=r"test\.parquet|metadata\.json|shards of test"):
        _ = dataset.images, dataset.info, dataset[0]


def test_it_can_be_moved_and_linked(folder, built, tmp_path, capsys):
    shutil.move(folder.parent, tmp_path / "moved")
    (tmp_path / "link").symlink_to(tmp_path / "moved")
    for place in (tmp_path / "link/1.2.0", tmp_path / "moved/1.2.0"):
        assert same(groups(place), groups(built))
    assert not capsys.readouterr().err


def test_without_checksums_it_is_read_with_one_warning(folder, built, capsys):
    """As a data set of an earlier version, or one that was copied without them."""
    (folder / "checksums.json").unlink()
    for split in ("train", "test"):
        found = GroupDataset(folder, split)
        assert same(found.get([0]), GroupDataset(built, split).get([0])) and len(found.images)
    assert capsys.readouterr().err.count("warning: ") == 1


BROKEN = [b"", b"\0" * 5000, b"PK\3\4 an archive", b"PAR1 and no more PAR1", b"{", b"[]", b"\xff\xfe{}"]


@pytest.mark.parametrize("content", BROKEN)
@pytest.mark.parametrize("name", [*sorted(LOADS), SHARD])
def test_what_cannot_be_parsed_is_named_without_checksums_too(folder, name, content):
    (folder / "checksums.json").unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(DatasetError, match=r"ipa-jax build --overwrite") as found:
        LOADS.get(name, groups)(folder)
    assert name in str(found.value) or "split test" in str(found.value)


@pytest.mark.parametrize("field", ["choices", "source", "random_weights", "build_report"])
def test_a_field_that_metadata_lack_is_named(folder, field):
    (folder / "checksums.json").unlink()
    file = folder / "metadata.json"
    file.write_text(file.read_text().replace(f'"{field}"', '"other"'))
    with pytest.raises(DatasetError, match=rf"metadata\.json.*{field}"):
        read_metadata(folder)


def test_a_column_of_another_type_is_named(folder):
    (folder / "checksums.json").unlink()
    file = folder / "groups-test.parquet"
    GroupDataset(folder, "test").groups.cast({"pairs": str}).write_parquet(file)
    with pytest.raises(DatasetError, match="pairs"):
        _ = GroupDataset(folder, "test").groups


def test_a_record_that_does_not_exist_is_no_damage(built):
    dataset = GroupDataset(built, "test")
    for record in (-1, len(dataset)):
        with pytest.raises(ValueError, match=str(record)) as found:
            dataset[record]
        assert not isinstance(found.value, DatasetError)
