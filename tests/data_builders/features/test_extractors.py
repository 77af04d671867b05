"""What it takes to add an extractor; what reading processes load; what the store's header says."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as Photo

from configs.full import get_config
from data_builders.features import extractors, job
from data_builders.features.extractors import EXTRACTORS, Extractor, Row
from data_builders.features.inputs import Image
from data_builders.features.reader import FeatureReader
from data_builders.features.weight_files import header
from tests.helpers.paths import ROOT

OPTIONS = get_config("tiny").extract.to_dict() | {"keypoint_threshold": 0.2, "workers": 0}


@pytest.mark.parametrize("name", EXTRACTORS)
def test_a_row_names_its_class(name):
    kind = extractors.extractor(name)
    assert issubclass(kind, Extractor) and kind.name == name


def test_reading_processes_load_no_jax(tmp_path):
    """What a reading process does: it imports the prepare half of all extractors and prepares a photo."""
    Photo.new("RGB", (80, 60)).save(tmp_path / "a.png")
    program = f"""
import json, sys
from pathlib import Path
from data_builders.features.extractors import EXTRACTORS
from data_builders.features.inputs import Image, Prepare
inputs = Prepare(Path({str(tmp_path)!r}), json.loads(sys.argv[1]), tuple(EXTRACTORS))(Image("ann", "a", "a.png"))
assert not inputs.reason and set(inputs.prepared) == set(EXTRACTORS)
print(*({{"jax", "flax", "polars", "pyarrow", "tensorflow"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(OPTIONS)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_extractors_are_found_by_part_and_by_name():
    assert extractors.that_fill(["depth", "pose"]) == ("pose", "depth")
    assert extractors.checked(["depth", "pose", "pose"]) == ("pose", "depth")
    assert extractors.parts_of(["depth", "pose"]) == ("pose", "depth")
    assert extractors.that_fill(["background", "caption"]) == ("background", "caption")
    assert extractors.that_fill(["background", "caption"], "light") == extractors.that_fill(["caption"], "light")
    for given, message in ((["smell"], "smell is unknown; take from pose"), ([], "name at least one of pose")):
        with pytest.raises(ValueError, match=message):
            extractors.checked(given)


def test_the_header_is_what_it_was():
    """A store's header is compared when an extraction resumes, so a change of the code must not change it."""
    options = get_config().extract.to_dict() | {"keypoint_threshold": 0.2}
    found = {name: header(name, options, random=True) for name in ("pose", "background", "caption", "depth")}
    assert found["background"] == {
        "name": "deeplabv3_resnet101",
        "version": '1 {"dtype":"float32","fields":{},"network":"deeplabv3_resnet101","side":520}',
        "weights_sha256": "random",
    }
    assert found["caption"]["name"] == "bottom_up_r101+m2_transformer+m2_vocab"
    assert '"keypoint_threshold":0.2' in found["pose"]["version"]
    text = json.dumps(found, sort_keys=True).encode()
    assert hashlib.sha256(text).hexdigest()[:16] == "331c2dd362ad62df"


class Toy(Extractor):
    """Two parts of the store in one pass: the photo's mean colour as background, its size as caption."""

    name = "toy"
    version = "7"

    def __init__(self, options, random):
        self.batches = []

    @classmethod
    def networks(cls, options):
        return ()

    @staticmethod
    def prepare(photo, options):
        return photo.mean((0, 1)) * options["toy"]["gain"], photo.shape[:2]

    def shape(self, inputs):
        return inputs[1]

    def start(self, batch):
        return np.stack([colour for colour, _ in batch])

    def finish(self, started, batch):
        return [
            {"background": colour, "caption_vector": np.array(size, np.float32), "caption_text": f"{size[1]} px wide"}
            for colour, (_, size) in zip(started, batch, strict=True)
        ]


def test_an_extractor_of_two_parts_is_a_class_and_a_row(tmp_path, monkeypatch):
    monkeypatch.setitem(EXTRACTORS, "toy", Row(("background", "caption"), f"{__name__}:Toy"))
    for name, width in (("a", 20), ("b", 30)):
        Photo.new("RGB", (width, 10), (10, 20, 30)).save(tmp_path / f"{name}.png")
    options = json.dumps(OPTIONS | {"toy": {"gain": 2.0}})
    work = job.Job(str(tmp_path), options, extractors.checked(["toy"]), depth_side=0, random_weights=False)
    report = job.run(work, [Image("ann", name, f"{name}.png") for name in "abc"], tmp_path / "store", progress=False)
    assert report.written == 2 and report.skipped == {"image missing": 1}
    reader = FeatureReader(tmp_path / "store")
    assert reader.parts == ("background", "caption") and reader.caption_texts("ann", ["b"]) == ["30 px wide"]
    np.testing.assert_array_equal(reader.load("ann", ["a"]).background, [[20, 40, 60]])
    assert reader.header["extractors"]["caption"]["version"].startswith('7 {"dtype":"float32","gain":2.0')
    assert reader.decoded_with
    with pytest.raises(ValueError, match="caption and toy both fill the part caption"):
        extractors.checked(["toy", "caption"])
