"""What reading processes turn a file into: inputs of the networks, or a reason to leave it out."""

import jax
import numpy as np
import pytest
from PIL import Image as Photo

from configs.full import get_config
from data_builders.features import job
from data_builders.features.inputs import Image, Prepare

OPTIONS = get_config("tiny").extract.to_dict()
EXTRACTORS = ("pose", "background", "caption", "depth")


def ramp(height=60, width=90):
    return np.linspace(0, 1, height * width).reshape(height, width)


def test_a_turned_photo_is_upright(tmp_path):
    exif = Photo.Exif()
    exif[0x0112] = 6  # the camera was turned: rows are to be columns
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 30:] = 255
    Photo.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    inputs = Prepare(tmp_path, OPTIONS, EXTRACTORS)(Image("ann", "a", "a.png"))
    assert (inputs.width, inputs.height, inputs.reason) == (40, 60, "")


def test_reasons(tmp_path):
    (tmp_path / "text.jpg").write_text("no photo")
    whole = tmp_path / "whole.jpg"
    Photo.fromarray((255 * ramp()).astype(np.uint8)).save(whole)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:-40])
    Photo.new("RGB", (1, 5000)).save(tmp_path / "narrow.png")
    Photo.new("RGB", (8, 8)).save(tmp_path / "other.png", format="GIF")
    prepare = Prepare(tmp_path, OPTIONS, EXTRACTORS)
    reasons = {name: prepare(Image("ann", name, name)).reason
               for name in ("text.jpg", "cut.jpg", "narrow.png", "other.png", "absent.jpg", "whole.jpg")}  # fmt: skip
    assert reasons == {
        "text.jpg": "image unreadable",
        "cut.jpg": "image unreadable",
        "narrow.png": "image too narrow",
        "other.png": "image unreadable",
        "absent.jpg": "image missing",
        "whole.jpg": "",
    }


def test_a_photo_too_long_for_poses_has_none(tmp_path):
    Photo.new("RGB", (20, 100)).save(tmp_path / "long.png")
    assert Prepare(tmp_path, OPTIONS, ("pose",))(Image("ann", "long", "long.png")).prepared == {"pose": None}


@pytest.mark.parametrize(
    ("asked", "cores", "processes"), [(-1, 1, 1), (-1, 2, 1), (-1, 8, 7), (-1, 96, 16), (0, 8, 0), (3, 2, 3)]
)
def test_reading_processes_are_as_many_as_the_cores_allow(asked, cores, processes, monkeypatch):
    monkeypatch.setattr(job.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert job.reading_processes(asked) == processes


def test_arrays_are_found_for_shared_memory(tmp_path):
    """grain copies the leaves of a tree that are arrays into shared memory, and pickles all else."""
    Photo.new("RGB", (80, 60)).save(tmp_path / "a.png")
    leaves = jax.tree.leaves(Prepare(tmp_path, OPTIONS, EXTRACTORS)(Image("ann", "a", "a.png")))
    arrays = [leaf.shape for leaf in leaves if isinstance(leaf, np.ndarray)]
    assert sorted(arrays) == sorted([(64, 128, 3), (64, 64, 3), (128, 128, 3), (48, 64, 3)])
