"""Tests of loading official checkpoints: names, axis orders, tables of another window, every error."""

import re
from functools import partial

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from third_party_ports import resnet, swin
from third_party_ports.checkpoints import weights, zoo
from third_party_ports.checkpoints.weights import resize_table
from third_party_ports.resnet import ResNet
from third_party_ports.swin import Swin

RNG = np.random.default_rng(0)


def numbers(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def both(name: str, weight: tuple[int, ...], bias: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {f"{name}.weight": numbers(*weight), f"{name}.bias": numbers(*bias)}


def official_swin(window: int = 2) -> dict[str, np.ndarray]:
    """A checkpoint as the original writes it: width 4, two stages of one block, one head, 8 px images."""
    tensors = both("patch_embed.proj", (4, 3, 2, 2), (4,)) | both("patch_embed.norm", (4,), (4,))
    for s, c in enumerate((4, 8)):
        block = f"layers.{s}.blocks.0"
        tensors |= both(f"{block}.norm1", (c,), (c,)) | both(f"{block}.norm2", (c,), (c,))
        tensors |= both(f"{block}.attn.qkv", (3 * c, c), (3 * c,)) | both(f"{block}.attn.proj", (c, c), (c,))
        tensors[f"{block}.attn.relative_position_bias_table"] = numbers((2 * window - 1) ** 2, 1)
        tensors[f"{block}.attn.relative_position_index"] = np.zeros((window**2, window**2), np.int64)
        tensors |= both(f"{block}.mlp.fc1", (4 * c, c), (4 * c,)) | both(f"{block}.mlp.fc2", (c, 4 * c), (c,))
    tensors["layers.0.blocks.0.attn_mask"] = numbers(4, 4, 4)
    tensors |= both("layers.0.downsample.norm", (16,), (16,))
    tensors["layers.0.downsample.reduction.weight"] = numbers(8, 16)
    return tensors | both("norm", (8,), (8,)) | both("head", (10, 8), (10,))


def swin_shapes(window: int = 2):
    network = Swin(2, 4, (1, 1), (1, 1), window, 0.0)
    return jax.eval_shape(network.init, jax.random.key(0), np.zeros((1, 8, 8, 3), np.float32))


def official_resnet() -> dict[str, np.ndarray]:
    """A checkpoint as torchvision writes it: width 2, one block, 7x7 stem."""

    def norm(name: str, c: int) -> dict[str, np.ndarray]:
        rest = {"running_mean": numbers(c), "running_var": numbers(c), "num_batches_tracked": np.array(3)}
        return both(name, (c,), (c,)) | {f"{name}.{key}": value for key, value in rest.items()}

    tensors = {"conv1.weight": numbers(2, 3, 7, 7)} | norm("bn1", 2)
    for conv, shape in (("conv1", (2, 2, 1, 1)), ("conv2", (2, 2, 3, 3)), ("conv3", (8, 2, 1, 1))):
        tensors[f"layer1.0.{conv}.weight"] = numbers(*shape)
        tensors |= norm(f"layer1.0.bn{conv[-1]}", shape[0])
    tensors |= {"layer1.0.downsample.0.weight": numbers(8, 2, 1, 1)} | norm("layer1.0.downsample.1", 8)
    return tensors | both("fc", (10, 8), (10,))


def resnet_shapes():
    x = np.zeros((1, 16, 16, 3), np.float32)
    return jax.eval_shape(lambda key: ResNet((1,), 2).init(key, x, train=False), jax.random.key(0))


def test_swin_names_and_axes():
    tensors, shapes = official_swin(), swin_shapes()
    variables = weights.from_state_dict(swin.KEYS, tensors, shapes)
    assert jax.tree.map(np.shape, variables) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    params = variables["params"]
    block, name = params["layers_1"]["blocks_0"], "layers.1.blocks.0"
    np.testing.assert_array_equal(block["attn"]["qkv"]["kernel"], tensors[f"{name}.attn.qkv.weight"].T)
    np.testing.assert_array_equal(block["attn"]["proj"]["bias"], tensors[f"{name}.attn.proj.bias"])
    np.testing.assert_array_equal(block["norm2"]["scale"], tensors[f"{name}.norm2.weight"])
    np.testing.assert_array_equal(block["attn"][weights.TABLE], tensors[f"{name}.attn.{weights.TABLE}"])
    embed = tensors["patch_embed.proj.weight"]
    assert params["patch_embed"]["proj"]["kernel"][0, 1, 2, 3] == embed[3, 2, 0, 1]
    reduction = tensors["layers.0.downsample.reduction.weight"]
    np.testing.assert_array_equal(params["layers_0"]["downsample"]["reduction"]["kernel"], reduction.T)


@pytest.mark.parametrize("counters", [True, False])
def test_resnet_names_and_axes(counters):
    """With the counters, and without them as in old files. 1x1 kernels become matrices, statistics batch_stats."""
    tensors = {name: value for name, value in official_resnet().items() if counters or "num_batches" not in name}
    variables = weights.from_state_dict(resnet.KEYS, tensors, resnet_shapes())
    assert jax.tree.map(np.shape, variables) == jax.tree.map(lambda leaf: leaf.shape, resnet_shapes())
    params, stats = variables["params"], variables["batch_stats"]
    block = params["layer1_0"]
    assert params["conv1"]["kernel"][4, 5, 1, 0] == tensors["conv1.weight"][0, 1, 4, 5]
    np.testing.assert_array_equal(block["conv3"]["kernel"], tensors["layer1.0.conv3.weight"][:, :, 0, 0].T)
    np.testing.assert_array_equal(block["downsample_0"]["kernel"], tensors["layer1.0.downsample.0.weight"][..., 0, 0].T)
    np.testing.assert_array_equal(block["downsample_1"]["scale"], tensors["layer1.0.downsample.1.weight"])
    np.testing.assert_array_equal(stats["layer1_0"]["bn2"]["var"], tensors["layer1.0.bn2.running_var"])
    np.testing.assert_array_equal(stats["bn1"]["mean"], tensors["bn1.running_mean"])


def test_module_prefix_and_other_dtypes():
    """Files of wrapped and of half precision networks load too, as float32."""
    tensors = {f"module.{name}": value.astype(np.float16) for name, value in official_swin().items()}
    variables = weights.from_state_dict(swin.KEYS, tensors, swin_shapes())
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}


def test_files_in_our_own_axis_order():
    """Axes of length 1 may be added, missing or elsewhere. Nothing is transposed, even if it would then fit."""
    shapes = {
        "dense": {"kernel": (3, 2), "bias": (2,)},
        "pointwise": {"kernel": (3, 2)},
        "depthwise": {"kernel": (5, 5, 1, 3)},
        "norm": {"scale": (4,)},
        "square": {"kernel": (2, 2)},
    }
    leaf = partial(jax.ShapeDtypeStruct, dtype=np.float32)
    variables = {"params": jax.tree.map(leaf, shapes, is_leaf=lambda node: isinstance(node, tuple))}
    keys = weights.KeyMap(order="flax")
    tensors = {
        "dense.kernel": numbers(3, 2),
        "dense.bias": numbers(2),
        "pointwise.kernel": numbers(1, 1, 3, 2),
        "depthwise.kernel": numbers(5, 5, 3, 1),
        "norm.scale": numbers(1, 1, 1, 4),
        "square.kernel": numbers(2, 2),
    }
    params = weights.from_state_dict(keys, tensors, variables)["params"]
    np.testing.assert_array_equal(params["dense"]["kernel"], tensors["dense.kernel"])
    np.testing.assert_array_equal(params["square"]["kernel"], tensors["square.kernel"])
    np.testing.assert_array_equal(params["pointwise"]["kernel"], tensors["pointwise.kernel"][0, 0])
    np.testing.assert_array_equal(params["norm"]["scale"], tensors["norm.scale"][0, 0, 0])
    np.testing.assert_array_equal(params["depthwise"]["kernel"], tensors["depthwise.kernel"].swapaxes(2, 3))
    with pytest.raises(weights.WeightsError, match=r"1 misshapen: dense\.kernel \(gives \(2, 3\)"):
        weights.from_state_dict(keys, tensors | {"dense.kernel": numbers(2, 3)}, variables)


def test_every_problem_is_listed():
    tensors = official_swin()
    del tensors["norm.bias"], tensors["layers.1.blocks.0.mlp.fc1.weight"]
    tensors["absolute_pos_embed"] = tensors["layers.0.blocks.1.norm1.weight"] = numbers(4)
    tensors["patch_embed.norm.weight"] = numbers(5)
    tensors["layers.0.blocks.0.attn.qkv.weight"] = numbers(4, 12)  # already in our order
    with pytest.raises(weights.WeightsError) as caught:
        weights.from_state_dict(swin.KEYS, tensors, swin_shapes())
    message = str(caught.value)
    assert [line.split(":")[0] for line in message.splitlines()] == [
        "not a checkpoint of this network", "  2 missing", "  2 extra", "  2 misshapen"
    ]  # fmt: skip
    for name in (
        "norm.bias",
        "layers.1.blocks.0.mlp.fc1.weight",
        "absolute_pos_embed",
        "layers.0.blocks.1.norm1.weight",
        "patch_embed.norm.weight",
        "layers.0.blocks.0.attn.qkv.weight",
    ):
        assert name in message


def test_many_names_are_counted():
    with pytest.raises(weights.WeightsError) as caught:
        weights.from_state_dict(resnet.KEYS, {f"a.{n}": numbers(2) for n in range(30)}, resnet_shapes())
    missing, extra = str(caught.value).splitlines()[1:]
    assert extra.endswith("a.8, a.9 and 20 more") and extra.startswith("  30 extra: a.0, ")
    assert missing.startswith("  25 missing: ") and missing.endswith(" and 15 more")
    names = set(missing.split(": ")[1].split(" and ")[0].split(", "))
    assert len(names) == 10 and names <= official_resnet().keys()


@pytest.mark.parametrize("row", [row for row in zoo.CHECKPOINTS.values() if row.module], ids=lambda row: row.name)
def test_missing_tensors_are_named_as_the_key_map_reads_them(row):
    """Each leaf's name leads back to it, with a number in place of * for parallel branches."""
    keys, leaves = row.key_map(), flatten_dict(row.shapes())
    for path in leaves:
        name = weights._published(path, keys)
        canonical = keys.canonical(name.replace("*", "3"))
        match = keys.stacked and re.fullmatch(keys.stacked, canonical)
        assert ("*" in name) == bool(match)
        assert weights._path(match[1] + match[3] if match else canonical, leaves) == path


def test_another_network_is_refused():
    with pytest.raises(weights.WeightsError, match="not a checkpoint of this network"):
        weights.from_state_dict(resnet.KEYS, official_swin(), resnet_shapes())


def test_load_from_files(tmp_path):
    save_file(official_swin(), tmp_path / "swin.safetensors")
    save_file(official_resnet(), tmp_path / "resnet.safetensors")
    assert set(weights.load(tmp_path / "swin.safetensors", swin.KEYS, swin_shapes())) == {"params"}
    loaded = weights.load(str(tmp_path / "resnet.safetensors"), resnet.KEYS, resnet_shapes())
    assert set(loaded) == {"params", "batch_stats"}
    with pytest.raises(weights.WeightsError, match=r"(?s)swin\.safetensors: .* missing.*size fields fit the file\.$"):
        weights.load(tmp_path / "swin.safetensors", resnet.KEYS, resnet_shapes())


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(weights.WeightsError, match=r"absent\.safetensors is missing.*ipa-jax convert"):
        weights.load(tmp_path / "absent.safetensors", swin.KEYS, swin_shapes())
    save_file(official_swin(), tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    for broken in (b"", b"PK\x03\x04 a .pth file", content[:200], content[:-8]):
        (tmp_path / "broken.safetensors").write_bytes(broken)
        with pytest.raises(weights.WeightsError, match=r"broken\.safetensors is damaged.*ipa-jax convert"):
            weights.load(tmp_path / "broken.safetensors", swin.KEYS, swin_shapes())


def test_tables_of_another_window_are_resized():
    """A file of window 2 in a network of window 4; stage 1, a grid of 2 x 2, has window 2 in both."""
    tensors = official_swin(window=2)
    params = weights.from_state_dict(swin.KEYS, tensors, swin_shapes(window=4))["params"]
    first, second = (params[f"layers_{s}"]["blocks_0"]["attn"][weights.TABLE] for s in (0, 1))
    np.testing.assert_allclose(first, resize_table(tensors[f"layers.0.blocks.0.attn.{weights.TABLE}"], 7))
    np.testing.assert_array_equal(second, tensors[f"layers.1.blocks.0.attn.{weights.TABLE}"])


def test_a_table_of_other_heads_has_a_wrong_shape():
    tensors = official_swin() | {f"layers.0.blocks.0.attn.{weights.TABLE}": numbers(25, 2)}
    with pytest.raises(weights.WeightsError, match=r"1 misshapen: layers\.0\.blocks\.0\.attn"):
        weights.from_state_dict(swin.KEYS, tensors, swin_shapes())


def test_resize_is_pytorchs_bicubic():
    """The published ONNX example of kernel parameter -0.75 (resize_upsample_scales_cubic), 4 x 4 to 8 x 8."""
    row = np.array([0.47265625, 0.76953125, 1.24609375, 1.875, 2.28125, 2.91015625, 3.38671875, 3.68359375])
    table = np.arange(1, 17, dtype=np.float64)[:, None]
    resized = resize_table(table, 8).reshape(8, 8)
    np.testing.assert_allclose(resized[0], row)
    np.testing.assert_allclose(resized[:, 0] - row[0], 4 * (row - row[0]))  # rows count by 4 where columns count by 1


def test_resize_keeps_constants_and_own_size():
    np.testing.assert_allclose(resize_table(np.full((169, 3), 0.7, np.float32), 23), 0.7, rtol=1e-6)
    table = numbers(169, 2)
    np.testing.assert_allclose(resize_table(table, 13), table, rtol=1e-6)
