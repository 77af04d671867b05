"""Official tensors -> the variables of our networks, with every tensor accounted for.

One rule names all networks' paths (see `_path`): a number joins the name before it, so that
`layers.0.blocks.1.attn.qkv.weight` becomes params/layers_0/blocks_1/attn/qkv/kernel. What a network's published
names need beyond that rule is its KeyMap, written beside the network.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from third_party_ports.checkpoints.position_tables import resize_table

STATISTICS = {"running_mean": "mean", "running_var": "var"}  # PyTorch's name in batch_stats: ours
TABLE = "relative_position_bias_table"
LISTED = 10  # names of a kind in a message


class WeightsError(ValueError):
    """A checkpoint that is absent, unreadable, or not of this network; the message names tensors and remedy."""


@dataclass(frozen=True)
class KeyMap:
    """How the tensors of one network's official checkpoint are named.

    Attributes:
      wrappers: keys under which the file may hold its state dict, the preferred one first; a bare one is always fine.
      renames: (pattern, replacement) of `re.sub`, applied in order to every name; the results are the network's
        canonical names, which converted files carry.
      ignored: full match of the canonical names that the network does not need (classifiers, counters, buffers that
        we compute ourselves), present or absent.
      stacked: full match of the canonical names of parallel branches that we hold as one array with a leading axis;
        its groups are (before, number, after), and the array's canonical name is before + after.
      order: of the tensors' axes; "flax" (Keras has it too) is ours up to axes of length 1.
    """

    wrappers: tuple[str, ...] = ()
    renames: tuple[tuple[str, str], ...] = ((r"^module\.", ""),)
    ignored: str = r"(.*\.)?num_batches_tracked"
    stacked: str | None = None
    order: Literal["torch", "flax"] = "torch"

    def canonical(self, name: str) -> str | None:
        """The canonical name of an official one; None for a tensor to ignore."""
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return None if re.fullmatch(self.ignored, name) else name


def load_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """All tensors of a .safetensors file by name. Raises WeightsError if it is missing or broken."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    remedy = "Make it with python -m ipa_jax convert (third_party_ports/README.md says from what)."
    if not Path(path).is_file():
        raise WeightsError(f"{path}: there is no such weights file. {remedy}")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error}). {remedy}") from error


def load(path: str | Path, keys: KeyMap, variables: Mapping[str, Any]) -> dict[str, Any]:
    """`variables` filled from a .safetensors file; see from_state_dict. Raises WeightsError, which names the file."""
    tensors = load_safetensors(path)
    try:
        return from_state_dict(keys, tensors, variables)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}\nDo the network's size fields fit the file?") from error


def from_state_dict(
    keys: KeyMap, tensors: Mapping[str, np.ndarray], variables: Mapping[str, Any], *, resize: bool = True
) -> dict[str, Any]:
    """`variables` with every leaf replaced by the official tensor of its name, as numpy arrays of the leaf's dtype.

    The leaves of `variables` only give shapes and dtypes (`jax.eval_shape` of init will do); a relative position
    table of another window is resized, unless `resize` is False. Raises WeightsError that counts and names the missing,
    extra and misshapen tensors, one kind a line.
    """
    from flax.traverse_util import flatten_dict, unflatten_dict

    leaves = flatten_dict(dict(variables))
    named = {keys.canonical(name): (name, np.asarray(tensor)) for name, tensor in tensors.items()}
    named.pop(None, None)
    found, wrong, extra, misshapen = {}, set(), [], []
    parts: dict[tuple[str, ...], dict[int, np.ndarray]] = {}  # of the stacked tensors
    for canonical, (name, tensor) in named.items():
        match = keys.stacked and re.fullmatch(keys.stacked, canonical)
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
    return unflatten_dict(found)


def _path(name: str, leaves: Mapping[tuple[str, ...], Any]) -> tuple[str, ...]:
    """Where a tensor belongs: "layer1.0.bn1.weight" -> ("params", "layer1_0", "bn1", "scale")."""
    *owner, last = re.sub(r"\.(\d+)(?=\.)", r"_\1", name).split(".")
    if last in STATISTICS:
        return ("batch_stats", *owner, STATISTICS[last])
    if last == "weight":  # of a matrix, a table or a norm: the module's own parameters tell
        last = next((leaf for leaf in ("kernel", "embedding") if ("params", *owner, leaf) in leaves), "scale")
    return ("params", *owner, last)


def _published(path: tuple[str, ...], keys: KeyMap) -> str:
    """A leaf's canonical name, which is the official one but for `keys.renames`; "*" for the number of a branch."""
    *owner, last = path[1:]
    if path[0] == "batch_stats":
        last = next(theirs for theirs, ours in STATISTICS.items() if ours == last)
    if keys.order == "flax":
        return ".".join([*owner, last])
    last = "weight" if last in ("kernel", "embedding", "scale") else last
    parts = [*re.sub(r"_(\d+)(?=\.|$)", r".\1", ".".join(owner)).split("."), last]
    for place in range(1, len(parts)) if keys.stacked else ():
        before, after = ".".join(parts[:place]), ".".join(parts[place:])
        match = re.fullmatch(keys.stacked, f"{before}.0.{after}")
        if match and match[1] == before:
            return f"{before}.*.{after}"
    return ".".join(parts)


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _like(tensor: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """With `shape` if only the places and the number of axes of length 1 differ, which moves no number."""
    longer = [[side for side in sides if side != 1] for sides in (tensor.shape, shape)]
    return tensor.reshape(shape) if longer[0] == longer[1] else tensor


def _arranged(tensor: np.ndarray, leaf: str, shape: tuple[int, ...], resize: bool) -> np.ndarray:
    """PyTorch's axis order -> ours; what does not fit `shape` in the end is the caller's to report."""
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
