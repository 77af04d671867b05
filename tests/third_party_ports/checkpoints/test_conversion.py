"""Tests of the conversion of published files: every layout, format and error."""

import hashlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tests.helpers import swin_layouts
from tests.helpers.damage import require_noticed
from third_party_ports import __version__, swin
from third_party_ports.checkpoints import conversion, sealed, weights, zoo
from third_party_ports.checkpoints.checkpoint import Checkpoint
from third_party_ports.checkpoints.swin_layouts import official_swin
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.parity import recipe, torch_zip
from third_party_ports.swin import KEYS

RESCORE = {f"l{n}.{kind}": shape for n, (i, o) in enumerate(((74, 256), (256, 256), (256, 1)), 1)
           for kind, shape in (("weight", (o, i)), ("bias", (o,)))}  # fmt: skip


@lru_cache
def swin_shapes(**fields):
    network = swin_layouts.SWIN.clone(**fields)
    return jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct(swin_layouts.IMAGES, np.float32))


def pth(path: Path, tensors, wrapper: str | None = "model", prefix: str = "") -> Path:
    torch_zip.write(path, tensors, wrapper=wrapper, prefix=prefix, extra={"epoch": 3} if wrapper else None)
    return path


@pytest.fixture
def tiny_row(monkeypatch) -> Checkpoint:
    """The zoo's row for a tiny Swin."""
    row = replace(
        zoo.checkpoint("swin_base_22k"),
        name="tiny",
        file="tiny.pth",
        fields={name: getattr(swin_layouts.SWIN, name) for name in ("patch", "width", "depths", "heads", "window")},
        inputs=(swin_layouts.IMAGES,),
        signature={"layers.0.blocks.0.attn.relative_position_bias_table": (9, 1), "head.weight": (5, 16)},
    )
    monkeypatch.setitem(zoo.CHECKPOINTS, "tiny", row)
    return row


@pytest.mark.parametrize(
    ("make", "layout", "prefix"),
    [
        (swin_layouts.official, "official", "module."),
        (swin_layouts.timm, "timm", ""),
        (lambda: swin_layouts.transformers(4), "transformers", "module."),
        (lambda: swin_layouts.transformers(5, classifier=False), "transformers", ""),
    ],
)
def test_every_layout_gives_the_same_file(tmp_path, tiny_row, make, layout, prefix):
    checkpoint = pth(tmp_path / "tiny.pth", make(), prefix=prefix)
    done = conversion.convert_row(tiny_row, checkpoint, tmp_path / "deep/tiny.safetensors")
    needed = swin_layouts.needed()
    written = load_file(tmp_path / "deep/tiny.safetensors")
    assert written.keys() == needed.keys()
    for name, tensor in needed.items():
        np.testing.assert_array_equal(written[name], tensor)
    assert (done.layout, done.tensors, done.numbers) == (layout, len(needed), sum(t.size for t in needed.values()))
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["tiny.safetensors"]
    assert (tmp_path / "deep/tiny.safetensors").stat().st_mode == checkpoint.stat().st_mode  # for others to read too
    variables = weights.load(tmp_path / "deep/tiny.safetensors", KEYS, swin_shapes())
    kernel = variables["params"]["layers_1"]["blocks_1"]["attn"]["qkv"]["kernel"]
    np.testing.assert_array_equal(kernel, needed["layers.1.blocks.1.attn.qkv.weight"].T)


def test_the_source_is_recorded(tmp_path, tiny_row):
    checkpoint = pth(tmp_path / "tiny.pth", swin_layouts.official())
    conversion.convert_row(tiny_row, checkpoint, tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "np") as file:
        metadata = file.metadata()
    assert metadata == {
        "source": "tiny.pth",
        "source_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "port": "tiny",
        "port_version": __version__,
        "licence": "MIT",
        "page": tiny_row.page,
        "checksum": metadata["checksum"],
    }
    assert sealed.metadata(tmp_path / "out.safetensors", WeightsError, "") == metadata


def test_a_converted_file_that_is_damaged_is_named(tmp_path, tiny_row):
    out = tmp_path / "out.safetensors"
    conversion.convert_row(tiny_row, pth(tmp_path / "tiny.pth", swin_layouts.official()), out)
    for load in (
        lambda: {name: tensor.tobytes() for name, tensor in weights.load_safetensors(out).items()},
        lambda: sealed.metadata(out, WeightsError, weights.REMEDY)["source_sha256"],
    ):
        require_noticed(out, load, WeightsError, lambda a, b: a == b)


def test_a_converted_file_converts_to_itself(tmp_path):
    """Canonical names are stable, whatever the file format."""
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    conversion.convert(pth(tmp_path / "a.pth", swin_layouts.official()), first, KEYS, swin_shapes())
    conversion.convert(first, second, KEYS, swin_shapes())
    assert load_file(first).keys() == load_file(second).keys()
    for name, tensor in load_file(first).items():
        np.testing.assert_array_equal(load_file(second)[name], tensor)


def test_other_dtypes_become_float32(tmp_path):
    halves = {name: tensor.astype(np.float16) for name, tensor in swin_layouts.needed().items()}
    save_file(halves, tmp_path / "half.safetensors")
    conversion.convert(tmp_path / "half.safetensors", tmp_path / "out.safetensors", KEYS, swin_shapes())
    assert {tensor.dtype for tensor in load_file(tmp_path / "out.safetensors").values()} == {np.dtype("float32")}


def refused(tensors, folder: Path, **more) -> str:
    checkpoint = pth(folder / "a.pth", tensors)
    with pytest.raises(WeightsError) as caught:
        conversion.convert(checkpoint, folder / "a.safetensors", KEYS, more.pop("shapes", swin_shapes()), **more)
    assert not [file for file in folder.iterdir() if file != checkpoint]
    assert str(caught.value).startswith(str(checkpoint))
    return str(caught.value)


def test_every_tensor_is_accounted_for(tmp_path):
    tensors = swin_layouts.official()
    del tensors["norm.bias"]
    tensors |= {"absolute_pos_embed": np.ones(3), "patch_embed.norm.weight": np.ones(5, np.float32)}
    message = refused(tensors, tmp_path)
    for words in ("\n  1 missing: norm.bias\n", "1 extra: absolute_pos_embed", "1 misshapen: patch_embed.norm.weight"):
        assert words in message


def test_tables_of_another_window_are_not_resized(tmp_path):
    """Conversion refuses them. Only a network that asks for it resizes them, when it loads."""
    message = refused(swin_layouts.official(), tmp_path, shapes=swin_shapes(window=4))
    assert "3 misshapen: layers.0.blocks.0.attn.relative_position_bias_table (gives (9, 1)" in message


def test_another_networks_file_is_refused_in_a_few_lines(tmp_path):
    """What it looks like comes first, then a few names of each kind. Our own fields are not mentioned."""
    tensors = {f"m{n}.weight": np.ones(3, np.float32) for n in range(500)}
    tensors |= {name: recipe.tensor(name, shape) for name, shape in RESCORE.items()}
    message = refused(tensors, tmp_path)
    start, *lines = message.splitlines()
    assert start.endswith("a.pth: looks like dekr_rescore; not a checkpoint of this network:")
    assert [line.split(":")[0].split()[1] for line in lines] == ["missing", "extra"]
    assert lines[1].endswith(" and 496 more") and len(message) < 1500 and "fields" not in message


@pytest.mark.parametrize("wrapper", ["state_dict", "model", None])
def test_wrappers_that_people_use(tmp_path, wrapper):
    """Also for a network whose published file has none."""
    tensors = {name: recipe.tensor(name, shape) for name, shape in RESCORE.items()}
    shapes = zoo.checkpoint("dekr_rescore").shapes()
    conversion.convert(pth(tmp_path / "a.pth", tensors, wrapper), tmp_path / "a.safetensors", weights.KeyMap(), shapes)
    assert load_file(tmp_path / "a.safetensors").keys() == RESCORE.keys()


def test_two_tensors_for_one_place(tmp_path):
    tensors = swin_layouts.official()
    message = refused(tensors | {"module.norm.bias": tensors["norm.bias"]}, tmp_path)
    assert "the same canonical name: module.norm.bias" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(tmp_path, value):
    tensors = swin_layouts.official()
    tensors["norm.bias"][3] = value
    assert "NaN or infinite values in norm.bias" in refused(tensors, tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    def fails(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    checkpoint, out = pth(tmp_path / "a.pth", swin_layouts.official()), tmp_path / "a.safetensors"
    out.write_bytes(b"old")
    monkeypatch.setattr(sealed, "save_file", fails)
    with pytest.raises(OSError, match="disk full"):
        conversion.convert(checkpoint, out, KEYS, swin_shapes())
    assert out.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2


def test_another_rows_file_is_refused_with_its_name(tmp_path, tiny_row):
    tensors = swin_layouts.official()
    checkpoint = pth(tmp_path / "AdaBins_kitti.pt", tensors)
    with pytest.raises(WeightsError, match=r"the file of adabins_kitti\. Convert it under that name"):
        conversion.convert_row(zoo.checkpoint("adabins_nyu"), checkpoint, tmp_path / "a.safetensors")
    checkpoint = pth(tmp_path / "renamed.pth", tensors)
    digits = hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:8]
    zoo.CHECKPOINTS["tiny"] = replace(tiny_row, sha256=digits)
    with pytest.raises(WeightsError, match="the file of tiny\\."):
        conversion.convert_row(zoo.checkpoint("resnet50_v1"), checkpoint, tmp_path / "a.safetensors")
    assert conversion.convert_row(zoo.checkpoint("tiny"), checkpoint, tmp_path / "a.safetensors").remarks == []


def test_another_number_of_classes_is_another_file(tmp_path, tiny_row):
    checkpoint = pth(tmp_path / "a.pth", swin_layouts.official(classes=7))
    with pytest.raises(WeightsError, match=r"head\.weight is \(7, 16\), should be \(5, 16\)"):
        conversion.convert_row(tiny_row, checkpoint, tmp_path / "a.safetensors")


def test_an_unpublished_hash_gives_a_remark(tmp_path, tiny_row):
    checkpoint = pth(tmp_path / "a.pth", swin_layouts.official())
    done = conversion.convert_row(replace(tiny_row, sha256="00000000"), checkpoint, tmp_path / "a.safetensors")
    assert len(done.remarks) == 1
    assert "00000000" in done.remarks[0]


def test_the_layout_function_and_the_key_map_agree():
    """The key map takes everything that the layout returns."""
    tensors, _ = official_swin(swin_layouts.timm())
    assert {swin.KEYS.canonical(name) for name in tensors} - {None} == swin_layouts.needed().keys()
