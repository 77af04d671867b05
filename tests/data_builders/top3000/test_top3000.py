"""The builder: equal bytes in every build, spilling without TensorFlow, choices that act, errors before any shard."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import shuffle

from data_builders.dataset import SPLITS, GroupDataset
from data_builders.posts.post import RawDataError
from data_builders.top3000.tfds_repairs import PlainBucket, repaired
from data_builders.top3000.top3000_dataset_builder import Builder
from tests.helpers import tiny_world
from tests.helpers.built import build_quietly, config
from tests.helpers.paths import ROOT
from third_party_ports.files import lock


@pytest.fixture(scope="module")
def folder(world):
    return build_quietly(world, world / "data")


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def command(world, data_dir, *more):
    return [
        sys.executable,
        "-m",
        "ipa_jax",
        "build",
        "--config=configs/full.py:tiny",
        f"--raw={world}/raw",
        f"--config.data.depth.side={tiny_world.SIDE}",
        f"--features={world}/features",
        f"--data_dir={data_dir}",
        *more,
    ]


def test_two_builds_in_two_processes_are_equal_byte_for_byte(world, folder, tmp_path):
    leftover = tmp_path / ".top3000.building" / "top3000" / "incomplete.X_1.2.0" / "bucket.tmp"  # of a killed build
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"torn")
    result = subprocess.run(
        command(world, tmp_path),
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr
    assert files(tmp_path / "top3000" / "1.2.0") == files(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["top3000"]


def test_a_split_beyond_the_buffer_spills_without_tensorflow_to_the_same_bytes(world, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 64 << 10)
    assert files(build_quietly(world, tmp_path)) == files(folder)
    assert "tensorflow" not in sys.modules


def test_tfds_gets_its_own_classes_back_even_after_an_error():
    original = shuffle._Bucket
    with pytest.raises(OSError), repaired():
        assert shuffle._Bucket is PlainBucket
        raise OSError("disk full")
    assert shuffle._Bucket is original


def test_the_same_examples_come_through_beam(world, folder, tmp_path):
    pytest.importorskip("apache_beam", reason="the extra `beam` is not installed")
    result = subprocess.run(
        command(world, tmp_path, "--beam_pipeline_options=runner=FnApiRunner"),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr
    beam, alone = files(tmp_path / "top3000" / "1.2.0"), files(folder)
    assert beam.keys() == alone.keys()
    assert {name for name in beam if beam[name] != alone[name]} <= {"dataset_info.json"}


def test_two_builds_cannot_write_one_data_dir(world, tmp_path):
    staging = tmp_path / ".top3000.building"
    staging.mkdir()
    with lock(staging), pytest.raises(BlockingIOError, match="another process"):
        build_quietly(world, tmp_path)
    build_quietly(world, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["top3000"]


def test_an_existing_data_set_is_kept_unless_choices_differ(world, tmp_path, capsys):
    built = build_quietly(world, tmp_path)
    before = files(built)
    assert build_quietly(world, tmp_path) == built and files(built) == before
    moved = tmp_path / "moved"
    shutil.copytree(world, moved)
    with pytest.raises(ValueError, match=r"was built from --raw=.*--overwrite"):
        build_quietly(moved, tmp_path)
    other = config(memory={"exclude": "post"})
    with pytest.raises(ValueError, match=r"config\.data\.memory\.exclude is 'group' in the data set and 'post' here"):
        build_quietly(world, tmp_path, config=other)
    assert files(built) == before
    build_quietly(world, tmp_path, config=other, overwrite=True)
    assert GroupDataset(tmp_path, "train").options["memory"]["exclude"] == "post"
    with pytest.raises(RawDataError):
        build_quietly(world, tmp_path, config=config(pairs={"min_ratio": 10**6}), overwrite=True)
    assert GroupDataset(tmp_path, "train").options["memory"]["exclude"] == "post"  # the old one outlives a failure


def test_a_data_set_of_another_version_is_replaced_with_the_new_one(world, folder, tmp_path):
    other = tmp_path / "top3000/1.1.0"
    shutil.copytree(folder, other)
    with pytest.raises(ValueError, match=f"is the folder of a version: name {tmp_path}"):
        build_quietly(world, other, overwrite=True)
    built = build_quietly(world, tmp_path, overwrite=True)
    assert built.name == "1.2.0" and files(built) == files(folder) and not other.exists()


def test_a_part_may_lack_only_at_weight_zero(tmp_path):
    tiny_world.write(tmp_path, parts=("pose", "background"), random_weights=True)
    with pytest.raises(ValueError, match=r"config\.data\.similarity\.caption is 0\.333"):
        build_quietly(tmp_path, tmp_path / "data")
    weights = {"pose": 0.5, "background": 0.5, "caption": 0.0}
    with pytest.raises(ValueError, match=r"--config\.data\.depth\.side=0"):
        build_quietly(tmp_path, tmp_path / "data", config=config(similarity=weights))
    assert not list(tmp_path.glob("data/**/*.array_record*"))
    build_quietly(tmp_path, tmp_path / "data", config=config(similarity=weights, depth={"side": 0}))
    dataset = GroupDataset(tmp_path / "data", "test")
    assert dataset.info["random_weights"] is True
    group = dataset[0]
    assert "depth" not in group and (group["similarity"][..., 3] == 0).all()
    report = json.loads(Path(dataset.info["build_report"]).read_text())
    assert any("random weights" in warning for warning in report["warnings"])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"memory": {"exclude": "nothing"}}, r"config\.data\.memory\.exclude"),
        ({"similarity": {"pose": 0.9}}, r"config\.data\.similarity"),
        ({"split": {"by": "photo"}}, r"config\.data\.split\.by"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused_before_images_are_read(world, tmp_path, monkeypatch, changes, field):
    monkeypatch.setattr("data_builders.top3000.probe.probe", lambda *_: pytest.fail("images were read"))
    with pytest.raises(ValueError, match=field):
        build_quietly(world, tmp_path, config=config(**changes))
    assert list(tmp_path.iterdir()) == []


def test_records_count_over_all_shards(world, folder, tmp_path):
    raw, features = world / "raw", world / "features"
    builder = Builder(options=config().data.to_dict(), raw=raw, features=features, data_dir=tmp_path)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=2))
    assert len(list(tmp_path.glob("**/*-train.array_record-*-of-00002"))) == 2
    for split in SPLITS:
        sharded, alone = GroupDataset(tmp_path, split), GroupDataset(folder, split)
        assert [group["group_id"] for group in sharded] == sharded.groups["group_id"].to_list()
        assert sharded.images.equals(alone.images)


def test_depth_maps_of_another_side_are_refused(world, tmp_path):
    with pytest.raises(ValueError, match=r"depth_side is 8, but config\.data\.depth\.side is 16"):
        build_quietly(world, tmp_path, config=config(depth={"side": 16}))


def test_an_empty_split_is_an_error_before_anything_is_written(tmp_path):
    tiny_world.write(tmp_path, accounts=1, posts=6)
    with pytest.raises(RawDataError, match=r"raw: the split .*empty.*config\.data\.split\.seed"):
        build_quietly(tmp_path, tmp_path / "data")
    assert not list(tmp_path.glob("data/**/*.array_record*"))


def test_images_without_features_are_skipped_by_name_up_to_one_percent(tmp_path):
    tiny_world.write(tmp_path, lacking=("photos/0_3.png", "photos/1_4.png"))
    (tmp_path / "raw/photos/1_4.png").write_bytes(b"not an image")  # named for what it is
    built = build_quietly(tmp_path, tmp_path / "data")
    report = json.loads((built / "build_report.json").read_text())
    assert report["skips"] == {"image unreadable": 1, "no features": 1}
    ids = {image for split in SPLITS for image in GroupDataset(built, split).images["image_id"]}
    assert ids and not ids & {"photos/0_3.png", "photos/1_4.png"}
    other = tmp_path / "other"
    tiny_world.write(other, lacking=tuple(f"photos/0_{post}.png" for post in range(3)))
    with pytest.raises(RawDataError, match="3 of 240 posts have no features"):
        build_quietly(other, other / "data")


def test_long_images_are_shrunk_only_when_asked(world, tmp_path):
    group = GroupDataset(build_quietly(world, tmp_path, config=config(image={"max_side": 16})), "test")[0]
    for data in group["images"]:
        (tmp_path / "image.jpg").write_bytes(data)
        with Image.open(tmp_path / "image.jpg") as image:
            assert image.size == (16, 16) and image.format == "JPEG"


def test_the_report_sets_our_counts_beside_the_papers(folder):
    report = json.loads((folder / "build_report.json").read_text())
    images = pl.concat([pl.read_parquet(folder / f"groups-{split}.parquet") for split in SPLITS])
    assert sum(report["splits"][split]["groups"] for split in SPLITS) == len(images)
    assert report["splits"]["test"]["paper"]["pairs_per_group"] == pytest.approx(66_536 / 14_504)
    assert 0 < report["valid_pair_share"] < 1
    assert report["accounts"] == {"with_posts": 6, "with_kept_groups": 6, "paper": 3000}
    lost = report["posts"] - images["posts"].sum()
    assert report["posts_lost"]["singletons"] <= lost
    assert np.isfinite(report["splits"]["train"]["images_per_group"])


def test_images_of_a_carousel_share_their_post(tmp_path):
    tiny_world.write(tmp_path, carousels=True)
    built = build_quietly(tmp_path, tmp_path / "all", config=config(posts={"carousel": "all"}))
    seen = 0
    for group in GroupDataset(built, "train"):
        post, weight = group["post"], group["weight"]
        for i, j in group["pairs"]:
            assert post[i] != post[j]
        for name in set(group["post_ids"]):
            own = [n for n, post_id in enumerate(group["post_ids"]) if post_id == name]
            size = 3 if int(name.split("_")[1]) % 3 == 0 else 1
            assert len(own) == size and len({int(group["likes"][n]) for n in own}) == 1
            assert len({int(post[n]) for n in own}) == 1
            np.testing.assert_allclose(weight[own], 1 / size, rtol=1e-6)
            np.testing.assert_array_equal(group["carousel_length"][own], size)
            seen += size == 3
        slots = np.array(group["retrieved_ids"]).reshape(len(post), -1)
        posts = [[image.rstrip(".pngabc") for image in row if image] for row in slots]
        assert all(len(row) == len(set(row)) for row in posts)  # a post is retrieved at most once
    assert seen
    skipped = build_quietly(tmp_path, tmp_path / "skip", config=config(posts={"carousel": "skip"}))
    assert GroupDataset(skipped, "train").images["carousel_length"].max() == 1
    assert json.loads((skipped / "build_report.json").read_text())["skips"] == {"carousel skipped": 6 * 14}
