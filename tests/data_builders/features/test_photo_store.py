"""The photo store: features by content, reasons for what cannot be read, one compiled batch, one header a folder."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from configs import light
from data_builders import photos
from data_builders.features import job, photo_store
from data_builders.features.extractors import extractor
from data_builders.features.frozen_network import OnDevices, fetch
from data_builders.features.inputs import Image as Photo
from data_builders.features.inputs import Prepare
from data_builders.features.photo_store import ACCOUNT, features_of, store_beside
from data_builders.features.reader import FeatureReader
from tests.helpers.commands import environment
from tests.helpers.paths import ROOT


@pytest.fixture
def files(tmp_path):
    """Ten photos of two shapes, a copy of one under another name, a broken file and a path to nothing."""
    rng, paths = np.random.default_rng(0), []
    for number in range(10):
        shape = (40, 60, 3) if number % 2 else (70, 50, 3)
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(paths[-1])
    copy, broken = tmp_path / "copy.png", tmp_path / "broken.jpg"
    copy.write_bytes(paths[3].read_bytes())
    broken.write_bytes(b"no photo")
    return [*paths[:5], broken, tmp_path / "gone.jpg", copy, *paths[5:]]


def described(paths, store, config=None, **options):
    return features_of(paths, config or light.get_config("tiny"), store, random_weights=True, progress=False, **options)


def test_each_photo_has_its_features_or_a_reason(files, tmp_path):
    found = described(files, tmp_path / "store")
    assert found.rows.tolist() == [0, 1, 2, 3, 4, -1, -1, 3, 5, 6, 7, 8, 9]
    assert set(found.reasons) == {5, 6} and found.reasons[6] == photos.MISSING
    assert "broken.jpg" in found.reasons[5] and "text is not supported" in found.reasons[5]
    assert found.digests[0] == hashlib.sha256(files[0].read_bytes()).hexdigest() and found.digests[6] == ""
    assert found.digests[3] == found.digests[7]
    assert len(found.features) == len(found.texts) == 10 and all("%" in text for text in found.texts)
    assert found.features.width[:2].tolist() == [50, 60] and found.features.height[:2].tolist() == [70, 40]
    assert found.features.keypoints is None and found.features.background.shape == (10, 16)
    reader = FeatureReader(found.folder)
    row = reader.load(ACCOUNT, [found.digests[12]])
    np.testing.assert_array_equal(row.caption, found.features.rows(found.rows[12:13]).caption)


def test_only_what_the_store_lacks_is_computed(files, tmp_path, monkeypatch):
    first, photo = described(files[:3], tmp_path / "store"), files[2]
    ran = []
    run = job.run
    monkeypatch.setattr(job, "run", lambda work, images, *a, **k: ran.append(images) or run(work, images, *a, **k))
    moved = photo.rename(tmp_path / "moved.png")
    again = described([moved, files[1]], tmp_path / "store")
    assert not ran and again.digests == [first.digests[2], first.digests[1]]
    np.testing.assert_array_equal(again.features.background, first.features.background[[2, 1]])
    Image.open(files[1]).rotate(180).save(files[1])  # an edited photo is another photo
    edited = described([files[1], moved], tmp_path / "store")
    assert [image.path for image in ran[0]] == [str(files[1])]
    assert not np.allclose(edited.features.background[0], first.features.background[1])
    np.testing.assert_array_equal(edited.features.background[1], first.features.background[2])


@pytest.mark.parametrize("name", ["header.json", "part-00000.arrow"])
def test_a_damaged_store_is_made_again(files, tmp_path, capsys, name):
    """It is a cache: nobody has to know the command that fills it."""
    first = described(files[:3], tmp_path / "store")
    content = bytearray((first.folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (first.folder / name).write_bytes(content)
    again = described(files[:3], tmp_path / "store")
    np.testing.assert_array_equal(again.features.background, first.features.background)
    assert f"{first.folder / name} is damaged" in capsys.readouterr().err
    assert described(files[:3], tmp_path / "store").digests == first.digests and not capsys.readouterr().err


def test_a_large_jpeg_is_decoded_small_and_keeps_its_size(tmp_path):
    """600 x 400 px, lying on its side: at tiny size its shorter side has to keep 128 px."""
    coarse = Image.fromarray(np.random.default_rng(2).integers(0, 256, (6, 4, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    coarse.resize((600, 400), Image.Resampling.BICUBIC).save(tmp_path / "a.jpg", exif=exif, quality=95)
    options = light.get_config("tiny").extract.to_dict()
    inputs = Prepare(tmp_path, options, ("light",))(Photo("ann", "a", "a.jpg"))
    assert (inputs.width, inputs.height) == (400, 600)
    whole = extractor("light").prepare(photos.read(tmp_path / "a.jpg"), options)
    small, _ = photos.read_near(tmp_path / "a.jpg", extractor("light").near(options))
    assert small.shape == (300, 200, 3)
    assert np.abs(inputs.prepared["light"].astype(int) - whole).mean() < 1


def test_company_does_not_matter(files, tmp_path):
    together = described(files, tmp_path / "all")
    for number, path in enumerate(files[:3]):
        alone = described([path], tmp_path / "alone")
        np.testing.assert_allclose(alone.features.background[0], together.features.background[number], rtol=1e-5)


@pytest.mark.parametrize(
    ("least", "batches", "compiled"),
    [
        (4, (1, 3, 4, 2), [4]),
        (1, (8, 2, 3, 1), [8]),  # what is left over at the end of a job runs as another full batch
        (1, (3, 2, 5, 8, 4, 1), [4, 8]),
    ],
)
def test_few_sizes_of_batches_are_compiled(least, batches, compiled):
    shapes = []

    def double(factor, x):
        shapes.append(x.shape)
        return factor * x

    doubled = OnDevices(double, np.float32(2), least=least)
    for n in batches:
        np.testing.assert_array_equal(fetch(doubled(np.arange(n, dtype=np.float32))), 2 * np.arange(n))
    assert shapes == [(size,) for size in compiled]


def test_other_weights_options_and_decoders_have_another_folder(files, tmp_path, monkeypatch):
    config = light.get_config("tiny")
    folders = {described(files[:1], tmp_path / "store", config).folder}
    config.extract.light.side = 48
    folders.add(described(files[:1], tmp_path / "store", config).folder)
    monkeypatch.setattr(photos, "versions", lambda: {"pillow": "99"})
    folders.add(described(files[:1], tmp_path / "store", config).folder)
    assert len(folders) == 3 and {folder.parent for folder in folders} == {tmp_path / "store"}
    assert all(folder.name.startswith("light-") for folder in folders)


def test_nothing_to_read_is_no_error(files, tmp_path):
    found = described([files[5], files[6]], tmp_path / "store")
    assert found.rows.tolist() == [-1, -1] and set(found.reasons) == {0, 1} and len(found.features) == 0
    assert len(described([], tmp_path / "store").features) == 0


def test_the_store_is_beside_the_history_or_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    history = tmp_path / "history"
    history.mkdir()
    assert store_beside(history) == history / ".ipa_jax"
    monkeypatch.setattr("os.access", lambda *a: False)  # root may write anywhere
    elsewhere = store_beside(history)
    assert elsewhere.is_dir() and elsewhere.is_relative_to(tmp_path / "cache/ipa_jax/features")
    monkeypatch.setattr(photo_store, "FOLDER", "no/such/parent")
    assert store_beside(history) == elsewhere


TWO_DEVICES = """
import sys
from pathlib import Path
import jax, numpy as np
from configs import light
from data_builders.features.photo_store import features_of
assert jax.local_device_count() == 2
store, *files = map(Path, sys.argv[1:])
found = features_of(files, light.get_config("tiny"), store, random_weights=True, progress=False)
np.savez(store / "two.npz", background=found.features.background, caption=found.features.caption)
"""


def test_features_do_not_depend_on_devices_or_batches(files, tmp_path):
    """All at once on one device, each photo alone, and all shared by two devices: the same up to rounding."""
    readable = [file for file in files if file.suffix == ".png"]
    store = tmp_path / "two"
    store.mkdir()
    command = [sys.executable, "-c", TWO_DEVICES, str(store), *map(str, readable)]
    subprocess.run(command, cwd=ROOT, env=environment(2), check=True, capture_output=True)
    with np.load(store / "two.npz") as two:
        together = described(readable, tmp_path / "one").features
        alone = [described([file], tmp_path / f"alone{n}").features for n, file in enumerate(readable[:3])]
        for part in ("background", "caption"):
            np.testing.assert_allclose(two[part], getattr(together, part), rtol=0, atol=1e-5)
            each = np.concatenate([getattr(features, part) for features in alone])
            np.testing.assert_allclose(each, getattr(together, part)[:3], rtol=0, atol=1e-5)
