"""A built data set has what the raw data say, read back with GroupDataset and with plain TFDS."""

import csv
import itertools
import pickle
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from data_builders.dataset import SPLITS, GroupDataset
from data_builders.features.store import FeatureReader
from data_builders.group_record import DepthMaps
from data_builders.groups import split_of
from tests.helpers.built import build_quietly, config
from tests.helpers.paths import ROOT


@pytest.fixture(scope="module")
def data_dir(world):
    build_quietly(world, world / "data")
    return world / "data"


@pytest.fixture(scope="module")
def rows(world):
    with open(world / "raw" / "posts.csv") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def all_groups(data_dir):
    return {split: list(GroupDataset(data_dir, split)) for split in SPLITS}


def test_every_group_holds_its_posts_as_the_csv_lists_them(world, data_dir, rows):
    seen = []
    for split, groups in all_groups(data_dir).items():
        assert groups
        for group in groups:
            assert SPLITS[split_of(group["account"], group["first_post"], 0, "group")] == split
            assert group["group_id"] == f"{group['account']}/{group['first_post']}"
            here = [rows[image] for image in group["image_ids"]]
            assert {row["account"] for row in here} == {group["account"]}
            assert group["post_ids"] == [row["post"] for row in here] and group["first_post"] == group["post_ids"][0]
            assert group["likes"].tolist() == [int(row["likes"]) for row in here]
            assert group["times"].tolist() == [int(row["timestamp"]) for row in here]
            assert group["times"].max() - group["times"].min() <= 7 * 86_400
            assert group["captions"] == [row["caption"] for row in here]
            assert group["machine_captions"] == [f"seen on {image}" for image in group["image_ids"]]
            assert group["hashtags"][0].split()[-1] == "both"
            pairs = [
                [i, j]
                for i, j in itertools.combinations(range(len(here)), 2)
                if max(group["likes"][[i, j]]) > 2 * min(group["likes"][[i, j]])
            ]
            assert group["pairs"].tolist() == pairs and pairs
            assert group["images"] == [(world / "raw" / image).read_bytes() for image in group["image_ids"]]
            seen += group["image_ids"]
    assert len(seen) == len(set(seen))


def test_features_and_retrieval_belong_to_the_images(world, data_dir):
    reader = FeatureReader(world / "features")
    groups = all_groups(data_dir)
    bank = {(g["account"], i): g["group_id"] for g in groups["train"] for i in g["image_ids"]}
    for group in itertools.chain(*groups.values()):
        account, n = group["account"], len(group["likes"])
        np.testing.assert_array_equal(group["depth"], reader.depth(account, group["image_ids"]))
        np.testing.assert_array_equal(group["people"], reader.people(account, group["image_ids"]))
        retrieved = np.array(group["retrieved_ids"]).reshape(n, -1)
        assert group["mask"].any() and ((retrieved != "") == group["mask"]).all()
        query = reader.load(account, group["image_ids"]).background.astype(np.float64)
        for image, slot in zip(*np.nonzero(group["mask"]), strict=True):
            assert bank[account, retrieved[image, slot]] != group["group_id"]
            other = reader.load(account, [retrieved[image, slot]]).background[0].astype(np.float64)
            cosine = query[image] @ other / np.linalg.norm(query[image]) / np.linalg.norm(other)
            total, *parts = group["similarity"][image, slot]
            assert parts[1] == pytest.approx(max(cosine, 0), abs=1e-12)  # float64 all the way
            assert total == pytest.approx(sum(parts) / 3, abs=1e-12)
        assert (group["local_score"] <= group["count"] + 1e-9).all()
        assert (group["local_score"][group["mask"]] > 0).all()


def test_the_index_says_what_the_records_hold(data_dir):
    for split, groups in all_groups(data_dir).items():
        dataset = GroupDataset(data_dir, split)
        assert len(dataset) == len(dataset.groups) == len(groups)
        assert dataset.groups["record"].to_list() == list(range(len(groups)))
        for row, group in zip(dataset.groups.iter_rows(named=True), groups, strict=True):
            weight = group["weight"].astype(np.float64)
            assert row["group_id"] == group["group_id"] and row["first_post"] == group["first_post"]
            assert (row["images"], row["pairs"]) == (len(group["likes"]), len(group["pairs"]))
            assert row["posts"] == group["post"].max() + 1
            assert row["pair_weight"] == pytest.approx(sum(weight[i] * weight[j] for i, j in group["pairs"]))
            images = dataset.images.filter(pl.col("record") == row["record"])
            assert images["position"].to_list() == list(range(row["images"]))
            assert images["image_id"].to_list() == group["image_ids"]
            for column, field in (
                ("likes", "likes"),
                ("time", "times"),
                ("people", "people"),
                ("weight", "weight"),
                ("sponsored", "sponsored"),
                ("carousel_length", "carousel_length"),
            ):
                np.testing.assert_array_equal(images[column], group[field])
        statistics = dataset.info["statistics"]
        assert statistics[split] == {
            "images": len(dataset.images),
            "groups": len(groups),
            "pairs": sum(len(g["pairs"]) for g in groups),
            "pair_weight": pytest.approx(dataset.groups["pair_weight"].sum()),
        }
    likes = np.concatenate([g["likes"] for g in GroupDataset(data_dir, "train")])
    assert statistics["mean_log_likes"] == pytest.approx(np.log(likes).mean())
    assert dataset.options == config().data.to_dict()
    assert dataset.info["random_weights"] is False


def test_it_reads_the_same_in_any_order_and_in_another_process(data_dir):
    dataset = GroupDataset(data_dir, "train")
    asked = [5, 0, 3, 5]
    copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301 (its own pickle)
    for found in (dataset.get(asked), copy.get(np.array(asked))):
        assert [group["group_id"] for group in found] == [dataset[record]["group_id"] for record in asked]
    assert dataset.get([]) == []
    without = GroupDataset(dataset.folder, "train", depth=False)[0]
    assert "depth" not in without and without["group_id"] == dataset[0]["group_id"]


@pytest.mark.filterwarnings("ignore:label")  # TFDS asks protobuf for a deprecated name
def test_plain_tfds_reads_it_without_this_package(data_dir):
    import tensorflow_datasets as tfds

    source = tfds.builder_from_directory(str(GroupDataset(data_dir, "test").folder)).as_data_source(split="test")
    ours = GroupDataset(data_dir, "test")
    assert len(source) == len(ours)
    for record, plain in enumerate(source):
        group = ours[record]
        assert set(plain) == set(group)
        for field, value in group.items():
            if isinstance(value, np.ndarray | DepthMaps):
                np.testing.assert_array_equal(np.stack(plain[field]), np.asarray(value), strict=True)
            elif isinstance(value, str):
                assert plain[field].decode() == value
            else:
                assert [x.decode() if field != "images" else x for x in plain[field]] == value


def test_what_is_not_there_is_said(tmp_path, data_dir):
    with pytest.raises(FileNotFoundError, match="ipa-jax build"):
        GroupDataset(tmp_path, "train")
    with pytest.raises(ValueError, match="'dev'"):
        GroupDataset(data_dir, "dev")


def test_threads_that_read_first_do_not_wait_for_each_other(data_dir):
    """In new processes: several threads at once import the libraries with their first reads."""
    program = """
import sys
from concurrent.futures import ThreadPoolExecutor
from data_builders.dataset import GroupDataset
dataset = GroupDataset(sys.argv[1], "train")
len(dataset), dataset.options
with ThreadPoolExecutor(4) as threads:
    list(threads.map(lambda record: dataset.get([record]), range(8)))
"""
    for _ in range(5):
        command = [sys.executable, "-c", program, str(data_dir)]
        subprocess.run(command, check=True, timeout=60, cwd=ROOT)
