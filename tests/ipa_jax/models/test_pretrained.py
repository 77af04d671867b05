"""A run that starts from published weights: official files, converted, and exactly the leaves they are meant for."""

import re

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from ipa_jax.training import export, initial
from tests.helpers.tiny_models import tiny_config
from third_party_ports import resnet, swin
from third_party_ports.checkpoints import conversion, weights
from third_party_ports.checkpoints.weights import TABLE, resize_table
from third_party_ports.parity import torch_zip

OFFICIAL = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def variables(config):
    return jax.tree.map(np.asarray, initial.initial_variables(config))


def inside(tree, *path):
    """The variables of the network at a path, by collection."""
    found = {}
    for kind, leaves in tree.items():
        flat = flatten_dict(leaves)
        found[kind] = {k[len(path) :]: v for k, v in flat.items() if k[: len(path)] == path}
    return {kind: leaves for kind, leaves in found.items() if leaves}


def official(network, seed):
    """Random tensors for a network's variables, named and laid out as the published files are."""
    rng, tensors = np.random.default_rng(seed), {}
    for leaves in network.values():
        for path, leaf in leaves.items():
            owner = re.sub(r"_(\d+)", r".\1", ".".join(path[:-1]))
            value = rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
            if path[-1] == "kernel" and value.ndim == 2:
                conv = re.fullmatch(r"layer\d+\.\d+\.(conv[13]|downsample\.0)", owner)  # ours as a matrix product
                value = value.T[..., None, None] if conv else value.T
            elif value.ndim == 4:
                value = value.transpose(3, 2, 0, 1)
            tensors[f"{owner}.{OFFICIAL.get(path[-1], path[-1])}"] = value
    return tensors


def published(folder, name, keys, network, wrapper, seed, extra):
    """A .pth file of random weights, converted. Returns the converted file and what it was made from."""
    tensors = official(network, seed)
    torch_zip.write(folder / f"{name}.pth", tensors | extra, wrapper=wrapper)
    shapes = {kind: unflatten_dict(leaves) for kind, leaves in network.items()}
    conversion.convert(folder / f"{name}.pth", folder / f"{name}.safetensors", keys, shapes)
    return str(folder / f"{name}.safetensors"), tensors


@pytest.fixture(scope="module")
def plain():
    """A model of random weights."""
    return variables(tiny_config())


def test_swin_and_resnet_come_from_their_files_and_nothing_else_does(plain, tmp_path):
    config = tiny_config()
    own = {"swin": inside(plain, "swin"), "resnet": inside(plain, "depth_branch", "resnet")}
    head = {"head.weight": np.ones((5, 4), np.float32), "head.bias": np.ones(5, np.float32)}
    config.init.swin, swin_tensors = published(tmp_path, "swin", swin.KEYS, own["swin"], "model", 1, head)
    fc = {"fc.weight": np.ones((5, 4), np.float32), "fc.bias": np.ones(5, np.float32)}
    config.init.resnet, resnet_tensors = published(tmp_path, "resnet", resnet.KEYS, own["resnet"], None, 2, fc)
    loaded = variables(config)

    for path, tensors in ((("swin",), swin_tensors), (("depth_branch", "resnet"), resnet_tensors)):
        mine = inside(loaded, *path)
        assert set(mine) == set(inside(plain, *path))
        again = official_values(mine)
        assert again.keys() == tensors.keys()
        for name, value in tensors.items():
            np.testing.assert_array_equal(again[name], value, err_msg=name)
    for kind, leaves in plain.items():
        for path, leaf in flatten_dict(leaves).items():
            if path[0] != "swin" and path[:2] != ("depth_branch", "resnet"):
                np.testing.assert_array_equal(flatten_dict(loaded[kind])[path], leaf, err_msg=str(path))


def official_values(network):
    """The tensors that a network's variables are, named and laid out as published."""
    named = official(network, 0)
    values = {}
    for (name, like), leaf in zip(
        named.items(), (leaf for leaves in network.values() for leaf in leaves.values()), strict=True
    ):
        if like.shape != leaf.shape or name.endswith("weight"):
            leaf = leaf.transpose(3, 2, 0, 1) if leaf.ndim == 4 else leaf.T.reshape(like.shape)
        values[name] = leaf
    return values


def test_a_file_of_another_window_gives_resized_tables(plain, tmp_path):
    """All else of the file is taken as it is. (224 px weights for a model of other images.)"""
    config = tiny_config()
    smaller = tiny_config()
    smaller.model.swin.window = config.model.swin.window // 2
    of_file = inside(variables(smaller), "swin")
    config.init.swin, tensors = published(tmp_path, "swin", swin.KEYS, of_file, "model", 3, {})
    loaded = inside(variables(config), "swin")
    resized = 0
    for name, value in official_values(loaded).items():
        if name.endswith(TABLE) and value.shape != tensors[name].shape:
            np.testing.assert_array_equal(value, resize_table(tensors[name], round(len(value) ** 0.5)), err_msg=name)
            resized += 1
        else:
            np.testing.assert_array_equal(value, tensors[name], err_msg=name)
    assert resized >= 1


def test_the_resnet_of_an_export_starts_another_run(plain, tmp_path):
    """Trained values, not initial ones, come back leaf by leaf; a model without depth has none to give."""
    config = tiny_config()
    rng = np.random.default_rng(5)
    trained = jax.tree.map(lambda leaf: rng.uniform(0.5, 1.5, leaf.shape).astype(leaf.dtype), plain)
    data = {"choices": {}, "statistics": {}}
    export.save_export(tmp_path / "export", trained, config, data, "# card\n")
    export.save_resnet(tmp_path / "export", tmp_path / "resnet.safetensors")
    config.init.resnet = str(tmp_path / "resnet.safetensors")
    loaded = variables(config)
    for kind, leaves in inside(loaded, "depth_branch", "resnet").items():
        for path, leaf in leaves.items():
            np.testing.assert_array_equal(
                leaf, inside(trained, "depth_branch", "resnet")[kind][path], err_msg=str(path)
            )
    names = weights.load_safetensors(tmp_path / "resnet.safetensors")
    assert {"conv1.weight", "bn1.running_var", "layer1.0.downsample.0.weight", "layer1.0.bn3.bias"} <= names.keys()
    assert names["layer1.0.conv1.weight"].shape[2:] == (1, 1)

    trained["params"].pop("depth_branch")
    trained["batch_stats"] = {}
    export.save_export(tmp_path / "flat", trained, config, data, "# card\n")
    with pytest.raises(export.ExportError, match="no depth branch"):
        export.save_resnet(tmp_path / "flat", tmp_path / "none.safetensors")
