"""Puts official tensors into the variables of our networks and accounts for every tensor.

One rule names the paths of all networks (see `_path`): a number joins the name before it, so that
`layers.0.blocks.1.attn.qkv.weight` becomes params/layers_0/blocks_1/attn/qkv/kernel. Whatever a network's published
names need beyond that rule is in a KeyMap beside the network.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from third_party_ports.checkpoints import sealed

STATISTICS = {"running_mean": "mean", "running_var": "var"}  # PyTorch's name: ours in batch_stats
TABLE = "relative_position_bias_table"
REMEDY = "make the file with `ipa-jax convert`; third_party_ports/README.md says from what"
LISTED = 10  # how many names of a kind an error message lists
Leaf = tuple[str, ...]  # the path of a leaf: ("params", "layers_0", "kernel")


class WeightsError(ValueError):
    """A checkpoint is missing, cannot be read, or belongs to another network. The message says what to do."""


@dataclass(frozen=True)
class KeyMap:
    """How the tensors of one network's official checkpoint are named.

    Attributes:
      wrappers: keys under which the file may hold its state dict, the preferred one first. A bare state dict always
        works.
      renames: (pattern, replacement) pairs for `re.sub`, applied to every name in this order. The results are the
        network's canonical names, which converted files use.
      ignored: full match of the canonical names that the network does not need (classifiers, counters, buffers that
        we compute ourselves). They may be present or absent.
      stacked: full match of the canonical names of parallel branches that we hold as one array with a leading axis.
        The groups are (before, number, after); the array's canonical name is before + after.
      order: of the tensors' axes. "flax", which Keras shares, is ours up to axes of length 1.
    """

    wrappers: tuple[str, ...] = ()
    renames: tuple[tuple[str, str], ...] = ((r"^module\.", ""),)
    ignored: str = r"(.*\.)?num_batches_tracked"
    stacked: str | None = None
    order: Literal["torch", "flax"] = "torch"

    def canonical(self, name: str) -> str | None:
        """Returns the canonical name for an official one, or None for a tensor to ignore."""
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return None if re.fullmatch(self.ignored, name) else name


def load_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """All tensors of a converted file by name. Raises WeightsError if the file is missing or damaged."""
    return sealed.load(Path(path), WeightsError, REMEDY)


def load(path: str | Path, keys: KeyMap, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Fills `variables` from a .safetensors file, see `from_state_dict`. Raises WeightsError, which names the file."""
    tensors = load_safetensors(path)
    try:
        return from_state_dict(keys, tensors, variables)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}\nCheck that the network's size fields fit the file.") from error


def from_state_dict(
    keys: KeyMap, tensors: Mapping[str, np.ndarray], variables: Mapping[str, Any], *, resize: bool = True
) -> dict[str, Any]:
    """Replaces every leaf of `variables` by the official tensor of its name.

    Args:
      keys: the network's KeyMap.
      tensors: by official or canonical name.
      variables: gives shapes and dtypes only; `jax.eval_shape` of init will do.
      resize: resizes a relative position table of another window (see `resize_table`).

    Returns:
      Nested dicts of numpy arrays, with the dtypes of `variables`.

    Raises:
      WeightsError: counts and names the missing, extra and misshapen tensors, a line for each kind.
    """
    leaves = _flat(variables)
    named: dict[str, tuple[str, np.ndarray]] = {}
    for name, tensor in tensors.items():
        if (canonical := keys.canonical(name)) is not None:
            named[canonical] = name, np.asarray(tensor)
    found: dict[Leaf, np.ndarray] = {}
    wrong, extra, misshapen = set(), [], []
    parts: dict[Leaf, dict[int, np.ndarray]] = {}  # of the stacked tensors
    for canonical, (name, tensor) in named.items():
        match = re.fullmatch(keys.stacked, canonical) if keys.stacked else None
        path = _path(match[1] + match[3] if match else canonical, leaves)
        if path not in leaves:
            extra.append(name)
            continue
        shape = leaves[path].shape[1:] if match else leaves[path].shape
        arranged = _like(tensor, shape) if keys.order == "flax" else _arranged(tensor, path[-1], shape, resize)
        if arranged.shape != shape:
            misshapen.append(f"{name} (gives {arranged.shape}, {shape} is needed)")
            wrong.add(path)
        elif match:
            parts.setdefault(path, {})[int(match[2])] = arranged
        else:
            found[path] = arranged.astype(leaves[path].dtype)
    for path, numbered in parts.items():
        if sorted(numbered) == list(range(leaves[path].shape[0])):
            found[path] = np.stack([numbered[n] for n in sorted(numbered)]).astype(leaves[path].dtype)
    missing = [_published(path, keys) for path in leaves if path not in found and path not in wrong]
    problems = {"missing": missing, "extra": extra, "misshapen": misshapen}
    if any(problems.values()):
        lines = [f"  {len(names)} {kind}: {some(names)}" for kind, names in problems.items() if names]
        raise WeightsError("\n".join(["not a checkpoint of this network:", *lines]))
    return _nested(found)


def some(names: Sequence[str]) -> str:
    """Returns the first names, and how many more there are, for a message."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def resize_table(table: np.ndarray, side: int) -> np.ndarray:
    """Resizes a relative position table to another window.

    The interpolation is the original's: PyTorch's bicubic with kernel parameter -0.75, no antialiasing, pixel centres
    aligned by area, and border values repeated. (`jax.image.resize` uses -0.5.)

    Args:
      table: [old * old, heads].
      side: 2 * window - 1 of the new window.

    Returns:
      [side * side, heads] of the table's dtype.
    """
    old = round(len(table) ** 0.5)
    matrix = _bicubic(old, side)
    grid = table.reshape(old, old, -1).astype(np.float64)
    resized = np.einsum("ya,xb,abh->yxh", matrix, matrix, grid, optimize=True)
    return resized.reshape(side * side, -1).astype(table.dtype)


def _bicubic(old: int, new: int) -> np.ndarray:
    """[new, old]: the weight of each old sample in each new one, along one axis."""
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


def _flat(tree: Mapping[str, Any], path: Leaf = ()) -> dict[Leaf, Any]:
    """Nested mappings -> their leaves by path."""
    # flax.traverse_util does this too, but it loads jax, which processes that only read photos must not.
    leaves: dict[Leaf, Any] = {}
    for name, value in tree.items():
        leaves |= _flat(value, (*path, name)) if isinstance(value, Mapping) else {(*path, name): value}
    return leaves


def _nested(leaves: Mapping[Leaf, Any]) -> dict[str, Any]:
    """Leaves by path -> nested dicts."""
    tree: dict[str, Any] = {}
    for path, value in leaves.items():
        branch = tree
        for name in path[:-1]:
            branch = branch.setdefault(name, {})
        branch[path[-1]] = value
    return tree


def _path(name: str, leaves: Mapping[Leaf, Any]) -> Leaf:
    """Where a tensor belongs: "layer1.0.bn1.weight" -> ("params", "layer1_0", "bn1", "scale")."""
    *owner, last = re.sub(r"\.(\d+)(?=\.)", r"_\1", name).split(".")
    if last in STATISTICS:
        return ("batch_stats", *owner, STATISTICS[last])
    if last == "weight":  # of a matrix, a table or a norm: the module's own parameters tell
        last = next((leaf for leaf in ("kernel", "embedding") if ("params", *owner, leaf) in leaves), "scale")
    return ("params", *owner, last)


def _published(path: Leaf, keys: KeyMap) -> str:
    """A leaf's canonical name, which is the official one up to `keys.renames`; "*" stands for a branch's number."""
    *owner, last = path[1:]
    if path[0] == "batch_stats":
        last = next(theirs for theirs, ours in STATISTICS.items() if ours == last)
    if keys.order == "flax":
        return ".".join([*owner, last])
    last = "weight" if last in ("kernel", "embedding", "scale") else last
    parts = [*re.sub(r"_(\d+)(?=\.|$)", r".\1", ".".join(owner)).split("."), last]
    if keys.stacked:
        for place in range(1, len(parts)):
            before, after = ".".join(parts[:place]), ".".join(parts[place:])
            match = re.fullmatch(keys.stacked, f"{before}.0.{after}")
            if match and match[1] == before:
                return f"{before}.*.{after}"
    return ".".join(parts)


def _like(tensor: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor with `shape` if the two differ only in axes of length 1, which moves no number."""
    longer = [[side for side in sides if side != 1] for sides in (tensor.shape, shape)]
    return tensor.reshape(shape) if longer[0] == longer[1] else tensor


def _arranged(tensor: np.ndarray, leaf: str, shape: tuple[int, ...], resize: bool) -> np.ndarray:
    """PyTorch's axis order -> ours. The caller reports a result that does not have `shape`."""
    if leaf == "kernel" and tensor.ndim == 4:
        tensor = tensor.transpose(2, 3, 1, 0)  # O I H W -> H W I O
        if len(shape) == 2 and tensor.shape[:2] == (1, 1):
            return tensor[0, 0]  # a 1x1 convolution that we compute as a matrix product
    elif leaf == "kernel":
        return tensor.T
    elif resize and leaf == TABLE and tensor.shape != shape and tensor.ndim == 2 and tensor.shape[1] == shape[1]:
        old, new = (round(rows**0.5) for rows in (tensor.shape[0], shape[0]))
        if old**2 == tensor.shape[0]:
            return resize_table(tensor, new)
    return tensor
