"""Photos to features by the documented command: killed and resumed, through Beam, refused without weights."""

import json
import re
import signal
import subprocess
import time
from unittest.mock import patch

import numpy as np
import pytest

from configs.full import get_config
from data_builders.features import job, journal
from data_builders.features.store import FeatureReader
from data_builders.posts.read import read_posts
from tests.helpers.commands import ROOT, command, environment, fail, succeed, succeed_here, train_flags

SHARD = 30  # rows
TINY = ("--config=configs/full.py:tiny", "--random_weights", f"--config.extract.shard_rows={SHARD}")


# Unlike elsewhere, running takes longer here than compiling.
COMPILED = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}


def flags(world, out, *more):
    return (*TINY, "--only=all", f"--raw={world}/raw", f"--out={out}", *more)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Smaller than `demo_world`: each photo goes through four networks."""
    folder = tmp_path_factory.mktemp("extract") / "world"
    succeed_here("demo-world", f"--out={folder}", "--accounts=6", "--posts=18", "--side=48")
    return folder


@pytest.fixture(scope="module")
def store(world, tmp_path_factory):
    """A store of all four parts, its extraction killed once in the middle of a shard."""
    out = tmp_path_factory.mktemp("extract") / "store"
    started = command("extract", *flags(world, out))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(started, cwd=ROOT, env=environment(**COMPILED), **quiet)
    while process.poll() is None and not (out / "part-00000.arrow").exists():
        time.sleep(0.02)
    while process.poll() is None and len(journal.read(out)) < 8:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = {path.name: path.read_bytes() for path in out.glob("part-*.arrow")}
    journalled = journal.read(out)
    done = succeed("extract", *flags(world, out), **COMPILED)
    return out, before, journalled, done


def test_a_killed_extraction_resumes(store, world):
    """Every readable image of a post has one row; what was finished before the kill stays as it was."""
    out, before, journalled, done = store
    reader = FeatureReader(out)
    keys = list(reader.keys())
    posts, _ = read_posts(world / "raw", get_config("tiny").data.to_dict())
    wanted = posts.select("account", "image_ids").explode("image_ids").rows()
    unreadable = int(re.search(r"left out, image unreadable: (\d+)", done.stdout)[1])
    assert len(keys) == len(set(keys)) == len(wanted) - unreadable and set(keys) <= set(wanted)
    assert len(keys) == int(re.search(r"wrote (\d+) images", done.stdout)[1]) + SHARD + len(journalled)
    assert all((out / name).read_bytes() == content for name, content in before.items())
    assert f"({SHARD + len(journalled)} were already there)" in done.stdout
    row = journalled[0]
    assert reader.caption_texts(row["account"], [row["image_id"]]) == [row["caption_text"]]
    assert not (out / journal.NAME).exists()
    report = json.loads((out / "extract_report.json").read_text())
    assert report["skipped"] == {"image unreadable": unreadable} and report["posts_left_out"]["video"] > 0
    assert f"not looked at, video: {report['posts_left_out']['video']} records" in done.stdout


def test_a_finished_extraction_has_nothing_to_do(store, world):
    """No network is loaded for the photos that cannot be read either."""
    with patch.object(job, "load", side_effect=AssertionError):
        done = succeed_here("extract", *flags(world, store[0]))
    assert done.stdout.startswith("wrote 0 images")


def test_other_options_need_another_store(store, world):
    done = fail("extract", *flags(world, store[0], "--config.extract.depth.mirror=False"))
    assert "header.json: extractors is" in done.stderr


def images_of(reader, account):
    return [image for name, image in list(reader.keys()) if name == account]


def test_features_are_of_their_image(store):
    """Sizes are right, and the features of different images differ."""
    out = store[0]
    reader = FeatureReader(out)
    account, _ = next(iter(reader.keys()))
    ids = images_of(reader, account)
    features, depth = reader.load(account, ids), reader.depth(account, ids)
    assert set(features.width) == set(features.height) == {48}
    assert depth.shape == (len(ids), 48, 48)
    assert depth.max() > 60_000 and depth.min() < 5_000  # the whole range, before the map was shrunk
    np.testing.assert_allclose(np.linalg.norm(features.caption, axis=1), 1, rtol=1e-5)
    for vectors in (features.background, features.caption, depth.reshape(len(ids), -1)):
        assert len(np.unique(vectors, axis=0)) > len(ids) / 2


def test_beam_gives_the_same_rows(store, world, tmp_path):
    """Each chunk of images is first in a store of its own; the two parts that are cheap."""
    spread, parts = tmp_path / "spread", ("background", "depth")
    done = succeed("extract", *flags(world, spread, f"--extractors={','.join(parts)}"),
                   "--beam_pipeline_options=runner=FnApiRunner", **COMPILED)  # fmt: skip
    assert not (spread / ".chunks").exists() and len(list(spread.glob("part-*.arrow"))) >= 3
    a, b = FeatureReader(store[0]), FeatureReader(spread)
    assert b.header == a.header | {"extractors": {part: a.header["extractors"][part] for part in parts}}
    assert sorted(a.keys()) == sorted(b.keys())
    assert f"wrote {len(a)} images" in done.stdout and "left out, image unreadable" in done.stdout
    for account in {name for name, _ in list(a.keys())}:
        ids = images_of(a, account)
        vectors = [reader.load(account, ids).background for reader in (a, b)]
        np.testing.assert_allclose(*vectors, rtol=1e-4, atol=1e-5)
        maps = [reader.depth(account, ids).astype(int) for reader in (a, b)]
        np.testing.assert_allclose(*maps, atol=2)


def test_builder_and_training_accept_the_store(store, world, tmp_path):
    out, data = store[0], tmp_path / "data"
    config = "--config=configs/full.py:tiny"
    succeed_here("build", config, f"--raw={world}/raw", f"--features={out}", f"--data_dir={data}")
    refused = fail("train", *train_flags("full", data, tmp_path / "run"))
    assert "config.allow_random_features" in refused.stderr
    allowed = ("--config.allow_random_features=True", "--config.train.epochs=0.2")
    succeed_here("train", *train_flags("full", data, tmp_path / "run"), *allowed)


def test_missing_weights_are_named_with_their_commands(world, tmp_path):
    flags = (f"--raw={world}/raw", f"--out={tmp_path}/store", f"--config.extract.weights={tmp_path}/weights")
    done = fail("extract", *flags)
    for remedy in (
        "dekr_w32: get pose_dekr_hrnetw32_coco.pth from https://github.com/HRNet/DEKR, then "
        f"ipa-jax convert dekr_w32 pose_dekr_hrnetw32_coco.pth --out {tmp_path}/weights/dekr_w32.safetensors",
        f"deeplabv3_resnet101: ipa-jax fetch deeplabv3_resnet101 --out {tmp_path}/weights",
        "bottom_up_r101: get bua-caffe-frcn-r101-k10-100.pth from",
        "m2_transformer: ipa-jax fetch m2_transformer",
        "m2_vocab: ipa-jax fetch m2_vocab",
        "adabins_nyu: get AdaBins_nyu.pt from",
    ):
        assert remedy in done.stderr
    assert not (tmp_path / "store").exists()
    only = fail("extract", *flags, "--extractors=background")
    assert "deeplabv3" in only.stderr and "dekr" not in only.stderr
    none = fail("extract", *flags, "--config.data.similarity.caption=0")
    assert "m2" not in none.stderr and "bottom_up" not in none.stderr


def test_an_unknown_extractor_is_named(world, tmp_path):
    done = fail("extract", f"--raw={world}/raw", f"--out={tmp_path}/s", "--extractors=pose,smell")
    assert "smell is unknown; take from pose, background, caption, depth" in done.stderr
