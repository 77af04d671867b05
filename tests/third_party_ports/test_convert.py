"""From a published file to ours: every layout and format, every complaint, and the command."""

import hashlib
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tests.helpers import swin_layouts
from third_party_ports import __version__, checkpoint_checks, conversion, convert, swin
from third_party_ports.bottom_up.regions import ANCHORS
from third_party_ports.checkpoints import identify, weights, zoo
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


def rescorer(folder: Path, name: str = "final_rescore_coco_kpt.pth", **changes) -> Path:
    tensors = {key: recipe.tensor(key, shape) for key, shape in RESCORE.items()} | changes
    return pth(folder / name, tensors, wrapper=None)


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


def test_where_it_came_from_is_written_down(tmp_path, tiny_row):
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
    }


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
    """The file of another window is another file; only a network that asks for it resizes, when it loads."""
    message = refused(swin_layouts.official(), tmp_path, shapes=swin_shapes(window=4))
    assert "3 misshapen: layers.0.blocks.0.attn.relative_position_bias_table (gives (9, 1)" in message


def test_another_networks_file_is_told_in_a_few_lines(tmp_path):
    """What it looks like comes first, a few names of each kind follow; nothing is asked about our fields."""
    tensors = {f"m{n}.weight": np.ones(3, np.float32) for n in range(500)}
    tensors |= {name: recipe.tensor(name, shape) for name, shape in RESCORE.items()}
    message = refused(tensors, tmp_path)
    start, *lines = message.splitlines()
    assert start.endswith("a.pth: looks like dekr_rescore; not a checkpoint of this network:")
    assert [line.split(":")[0].split()[1] for line in lines] == ["missing", "extra"]
    assert lines[1].endswith(" and 496 more") and len(message) < 1500 and "fields" not in message


@pytest.mark.parametrize("wrapper", ["state_dict", "model", None])
def test_wrappers_that_people_use(tmp_path, wrapper):
    """Also around a network whose published file has none."""
    tensors = {name: recipe.tensor(name, shape) for name, shape in RESCORE.items()}
    shapes = zoo.checkpoint("dekr_rescore").shapes()
    conversion.convert(pth(tmp_path / "a.pth", tensors, wrapper), tmp_path / "a.safetensors", weights.KeyMap(), shapes)
    assert load_file(tmp_path / "a.safetensors").keys() == RESCORE.keys()


def test_two_tensors_for_one_place(tmp_path):
    tensors = swin_layouts.official()
    message = refused(tensors | {"module.norm.bias": tensors["norm.bias"]}, tmp_path)
    assert "two tensors for one place: module.norm.bias" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers(tmp_path, value):
    tensors = swin_layouts.official()
    tensors["norm.bias"][3] = value
    assert "(NaN or infinite) in norm.bias" in refused(tensors, tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    def fails(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    checkpoint, out = pth(tmp_path / "a.pth", swin_layouts.official()), tmp_path / "a.safetensors"
    out.write_bytes(b"old")
    monkeypatch.setattr("safetensors.numpy.save_file", fails)
    with pytest.raises(OSError, match="disk full"):
        conversion.convert(checkpoint, out, KEYS, swin_shapes())
    assert out.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2


def empty(shape) -> np.ndarray:
    return np.broadcast_to(np.float32(0), [1 if side is None else side for side in shape])


@pytest.mark.parametrize("row", [row for row in zoo.CHECKPOINTS.values() if row.module])
def test_each_row_is_recognised(row):
    """Rows of one network that differ in values alone come together."""
    tensors = {f"module.{name}": empty(shape) for name, shape in row.signature.items()}
    rows = identify.looks_like(tensors).split(" or ")
    assert row.name in rows
    assert {zoo.checkpoint(name).module for name in rows} == {row.module}


def test_layouts_are_recognised():
    tensors = {"layers.1.downsample.norm.weight": empty((512,)), "layers.2.blocks.17.norm1.weight": empty((512,)),
               "layers.0.blocks.0.attn.relative_position_bias_table": empty((529, 4)),
               "head.fc.weight": empty((21841, 1024))}  # fmt: skip
    assert identify.looks_like(tensors) == "swin_base_384_22k in the timm layout"
    published = {"swin.encoder.layers.2.blocks.17.layernorm_before.weight": empty((512,)), "swin.encoder.layers.0"
                 ".blocks.0.attention.self.relative_position_bias_table": empty((169, 4)),
                 "classifier.weight": empty((1000, 1024))}  # fmt: skip
    assert identify.looks_like(published) == "swin_base_22kto1k or swin_base_1k in the transformers layout"


def test_other_networks_are_recognised():
    crowd = dict(zoo.checkpoint("dekr_w32").signature) | {"head_heatmap.1.weight": (15, 32, 1, 1)}
    assert "CrowdPose" in identify.looks_like({name: empty(shape) for name, shape in crowd.items()})
    assert identify.looks_like({"backbone.res4.35.conv1.weight": empty((256, 1024, 1, 1))}).endswith("ResNet152")
    assert identify.looks_like({"a": empty((3,))}) == ""
    wrapped = {f"model.{name}": empty(shape) for name, shape in zoo.checkpoint("dekr_w48").signature.items()}
    assert identify.looks_like(wrapped) == "dekr_w48, under the key 'model'"


def test_another_rows_file_is_refused_with_its_name(tmp_path, tiny_row):
    tensors = swin_layouts.official()
    checkpoint = pth(tmp_path / "AdaBins_kitti.pt", tensors)
    with pytest.raises(WeightsError, match="the file of adabins_kitti; convert it under that name"):
        conversion.convert_row(zoo.checkpoint("adabins_nyu"), checkpoint, tmp_path / "a.safetensors")
    checkpoint = pth(tmp_path / "renamed.pth", tensors)
    digits = hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:8]
    zoo.CHECKPOINTS["tiny"] = replace(tiny_row, sha256=digits)
    with pytest.raises(WeightsError, match="the file of tiny;"):
        conversion.convert_row(zoo.checkpoint("resnet50_v1"), checkpoint, tmp_path / "a.safetensors")
    assert conversion.convert_row(zoo.checkpoint("tiny"), checkpoint, tmp_path / "a.safetensors").remarks == []


def test_another_number_of_classes_is_another_file(tmp_path, tiny_row):
    checkpoint = pth(tmp_path / "a.pth", swin_layouts.official(classes=7))
    with pytest.raises(WeightsError, match=r"head\.weight is \(7, 16\), should be \(5, 16\)"):
        conversion.convert_row(tiny_row, checkpoint, tmp_path / "a.safetensors")


def test_an_unpublished_hash_is_remarked_upon(tmp_path, tiny_row):
    checkpoint = pth(tmp_path / "a.pth", swin_layouts.official())
    done = conversion.convert_row(replace(tiny_row, sha256="00000000"), checkpoint, tmp_path / "a.safetensors")
    assert len(done.remarks) == 1
    assert "00000000" in done.remarks[0]


def test_anchor_tables_are_compared():
    name = "proposal_generator.anchor_generator.cell_anchors.0"
    table = ANCHORS.astype(np.float32)
    assert checkpoint_checks.anchors({}) is None
    assert checkpoint_checks.anchors({name: table + 5e-4}) is None
    for wrong in (table + 2e-3, table / 16, table[:9]):
        with pytest.raises(WeightsError, match=r"cell_anchors\.0 differs"):
            checkpoint_checks.anchors({name: wrong})


def test_an_empty_region_that_would_be_masked():
    """LN(relu(b)) of (3, 0, 0, 1) sums to 0 without a shift; the shift of a trained norm is another number."""
    bias, scale = np.float32([3, -1, 0, 1]), np.ones(4, np.float32)
    tensors = {"encoder.fc.bias": bias, "encoder.layer_norm.weight": scale}
    assert "mask_padding" in checkpoint_checks.projection(tensors | {"encoder.layer_norm.bias": scale * 0})
    assert checkpoint_checks.projection(tensors | {"encoder.layer_norm.bias": scale * 0.1}) is None
    assert checkpoint_checks.projection({}) is None


def command(*arguments) -> int:
    return convert.main([*map(str, arguments)])


def test_the_command(tmp_path, capsys):
    """A whole published network, the smallest one, at its real size."""
    command("dekr_rescore", rescorer(tmp_path), "--out", tmp_path / "r.safetensors")
    assert capsys.readouterr().out.startswith("dekr_rescore: 6 tensors, 85,249 numbers, 0 not needed, official layout")
    assert load_file(tmp_path / "r.safetensors").keys() == RESCORE.keys()


def test_the_command_ends_with_a_sentence(tmp_path, capsys):
    crowd = rescorer(tmp_path, "final_rescore_crowd_pose_kpt.pth", **{"l1.weight": np.ones((256, 62), np.float32)})
    for given, words in (
        (["dekr_rescore", tmp_path / "absent.pth", "--out", tmp_path / "a.safetensors"], "absent.pth: there is no"),
        (["dekr_rescore", crowd, "--out", tmp_path / "a.safetensors"], "looks like the scoring net of DEKR for Crowd"),
        (["m2_vocab", crowd, "--out", tmp_path / "vocab.json"], "vocab.pkl"),
    ):
        assert command(*given) == 1 and words in capsys.readouterr().err
    for given, words in (
        (["dekr", crowd, "--out", tmp_path / "a.safetensors"], "invalid choice: 'dekr'"),
        (["dekr_rescore", crowd, "--out", tmp_path / "a.pth"], "becomes a .safetensors file"),
        (["m2_vocab", crowd, "--out", tmp_path / "a.txt"], "becomes a .json file"),
    ):
        with pytest.raises(SystemExit):
            command(*given)
        assert words in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == [crowd.name]


@pytest.mark.parametrize("out", ["file/a.safetensors", "folder.safetensors", f"{'a' * 300}.safetensors"])
def test_a_place_that_cannot_be_written(tmp_path, capsys, out):
    (tmp_path / "file").touch()
    (tmp_path / "folder.safetensors").mkdir()
    checkpoint = rescorer(tmp_path)
    assert command("dekr_rescore", checkpoint, "--out", tmp_path / out) == 1
    message = capsys.readouterr().err
    assert str(tmp_path / out) in message and message.count("\n") == 1 and "--out that can be written" in message


def test_the_checkpoint_is_never_overwritten(tmp_path, capsys):
    checkpoint = tmp_path / "a.safetensors"
    save_file({key: recipe.tensor(key, shape) for key, shape in RESCORE.items()}, checkpoint)
    with pytest.raises(SystemExit):
        command("dekr_rescore", checkpoint, "--out", tmp_path / "../" / tmp_path.name / "a.safetensors")
    assert "the checkpoint itself" in capsys.readouterr().err


def test_the_vocabulary(tmp_path, monkeypatch, capsys):
    words = ["<unk>", "<pad>", "<bos>", "<eos>", "a", "\n"]
    monkeypatch.setattr("third_party_ports.m2_transformer.vocabulary.read_vocabulary", lambda path: words)
    command("m2_vocab", "vocab.pkl", "--out", tmp_path / "deep/vocab.json")
    assert json.loads((tmp_path / "deep/vocab.json").read_text()) == words
    assert "m2_vocab: 6 words" in capsys.readouterr().out


def test_the_layout_function_and_the_key_map_agree():
    """What the layout gives is what the key map takes: nothing of it is lost on the way."""
    tensors, _ = official_swin(swin_layouts.timm())
    assert {swin.KEYS.canonical(name) for name in tensors} - {None} == swin_layouts.needed().keys()
