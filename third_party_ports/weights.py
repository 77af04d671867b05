"""Official checkpoints -> the variables of our networks, with every tensor accounted for.

One rule names both networks' paths (see `_path`): a number joins the name before it, so that
`layers.0.blocks.1.attn.qkv.weight` becomes params/layers_0/blocks_1/attn/qkv/kernel.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors.numpy import load_file

Network = Literal["swin", "resnet"]

# What a checkpoint may hold beside our variables: the classifier, and buffers that we compute ourselves.
IGNORED: dict[str, re.Pattern] = {
    "swin": re.compile(r"head\.(weight|bias)|layers\.\d+\.blocks\.\d+\.(attn_mask|attn\.relative_position_index)"),
    "resnet": re.compile(r"fc\.(weight|bias)|.*\.num_batches_tracked"),
}
RENAMED = {"running_mean": "mean", "running_var": "var"}  # PyTorch's name in batch_stats: ours
TABLE = "relative_position_bias_table"


class WeightsError(ValueError):
    """A checkpoint that is absent, unreadable, or not of this network; the message names tensors and remedy."""


def load_swin(path: str | Path, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables {"params"} of a `Swin`, filled from a .safetensors file with official names; see from_state_dict.

    Raises WeightsError, which names the file.
    """
    return _load("swin", path, variables)


def load_resnet(path: str | Path, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables {"params", "batch_stats"} of a `ResNet`, filled from a .safetensors file with official names.

    Raises WeightsError, which names the file.
    """
    return _load("resnet", path, variables)


def _load(network: Network, path: str | Path, variables: Mapping[str, Any]) -> dict[str, Any]:
    tensors = load_safetensors(path)
    try:
        return from_state_dict(network, tensors, variables)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def load_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """All tensors of a .safetensors file by name. Raises WeightsError if it is missing or broken."""
    remedy = (
        "Save the official checkpoint's state dict, names unchanged, with safetensors' save_file and pass that file."
    )
    if not Path(path).is_file():
        raise WeightsError(f"{path}: there is no such weights file. {remedy}")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error}). {remedy}") from error


def from_state_dict(
    network: Network, tensors: Mapping[str, np.ndarray], variables: Mapping[str, Any]
) -> dict[str, Any]:
    """`variables` with every leaf replaced by the official tensor of its name, as numpy arrays of the leaf's dtype.

    The leaves of `variables` only give shapes and dtypes (`jax.eval_shape` of init will do). Classifiers and computed
    buffers are dropped, a leading `module.` is stripped, and a relative position table of another window is resized.
    Raises WeightsError that lists all missing, extra and misshapen tensors.
    """
    leaves = flatten_dict(dict(variables))
    found, extra, misshapen = {}, [], []
    for name, tensor in tensors.items():
        name = name.removeprefix("module.")
        if IGNORED[network].fullmatch(name):
            continue
        path = _path(name, leaves)
        if path not in leaves:
            extra.append(name)
            continue
        leaf = leaves[path]
        value = _arranged(np.asarray(tensor), path[-1], leaf.shape)
        found[path] = value.astype(leaf.dtype)
        if value.shape != leaf.shape:
            misshapen.append(f"{name} (gives {value.shape}, {'/'.join(path)} needs {leaf.shape})")
    missing = ["/".join(path) for path in leaves if path not in found]
    problems = {"missing": missing, "extra": extra, "misshapen": misshapen}
    if any(problems.values()):
        lists = "; ".join(f"{len(names)} {kind}: {', '.join(names)}" for kind, names in problems.items() if names)
        raise WeightsError(f"not a checkpoint of this {network}: {lists}. Do the network's size fields fit the file?")
    return unflatten_dict(found)


def _path(name: str, leaves: Mapping[tuple[str, ...], Any]) -> tuple[str, ...]:
    """Where an official tensor belongs: "layer1.0.bn1.weight" -> ("params", "layer1_0", "bn1", "scale")."""
    *owner, last = re.sub(r"\.(\d+)(?=\.)", r"_\1", name).split(".")
    if last in RENAMED:
        return ("batch_stats", *owner, RENAMED[last])
    if last == "weight":  # of a matrix or of a norm: the module's own parameters tell
        last = "kernel" if ("params", *owner, "kernel") in leaves else "scale"
    return ("params", *owner, last)


def _arranged(tensor: np.ndarray, leaf: str, shape: tuple[int, ...]) -> np.ndarray:
    """PyTorch's axis order -> ours; what does not fit `shape` in the end is the caller's to report."""
    if leaf == "kernel" and tensor.ndim == 4:
        tensor = tensor.transpose(2, 3, 1, 0)  # O I H W -> H W I O
        if len(shape) == 2 and tensor.shape[:2] == (1, 1):
            return tensor[0, 0]  # a 1x1 convolution that we compute as a matrix product
    elif leaf == "kernel":
        return tensor.T
    elif leaf == TABLE and tensor.shape != shape and tensor.ndim == 2 and tensor.shape[1] == shape[1]:
        old, new = (round(rows**0.5) for rows in (tensor.shape[0], shape[0]))
        if old**2 == tensor.shape[0]:
            return resize_table(tensor, new)
    return tensor


def resize_table(table: np.ndarray, side: int) -> np.ndarray:
    """A relative position table [old * old, heads] of another window -> [side * side, heads], side = 2 * window - 1.

    The interpolation is the original's: PyTorch's bicubic, kernel parameter -0.75, without antialias, pixel centres
    aligned by area and border values repeated. (`jax.image.resize` has -0.5.)
    """
    old = round(len(table) ** 0.5)
    matrix = _bicubic(old, side)
    grid = table.reshape(old, old, -1).astype(np.float64)
    resized = np.einsum("ya,xb,abh->yxh", matrix, matrix, grid, optimize=True)
    return resized.reshape(side * side, -1).astype(table.dtype)


def _bicubic(old: int, new: int) -> np.ndarray:
    """[new, old]: the weights of each old sample in each new one, along one axis."""
    place = (np.arange(new) + 0.5) * old / new - 0.5
    taps = np.floor(place).astype(int)[:, None] + np.arange(-1, 3)  # [new, 4]
    weights = _cubic(np.abs(place[:, None] - taps))
    matrix = np.zeros((new, old))
    np.add.at(matrix, (np.arange(new)[:, None], taps.clip(0, old - 1)), weights)
    return matrix


def _cubic(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))
