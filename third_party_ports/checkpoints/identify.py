"""Identifies which network's checkpoint a file holds, from a few names and shapes of its tensors."""

from collections.abc import Mapping
from contextlib import suppress

import numpy as np

from third_party_ports.checkpoints.checkpoint import Checkpoint, Shape
from third_party_ports.checkpoints.swin_layouts import official_swin
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.checkpoints.zoo import CHECKPOINTS

WRAPPERS = ("", "model.", "state_dict.", "best_state_dict.", "opt.target.")
ANY = (None,) * 4
OTHERS: dict[str, Mapping[str, Shape]] = {  # networks without a port that are easily confused with ours
    "DEKR for CrowdPose, 14 keypoints; COCO's 17 are needed": {"head_heatmap.1.weight": (15, None, 1, 1)},
    "the scoring net of DEKR for CrowdPose, 14 keypoints; COCO's is needed": {"l1.weight": (256, None)},
    "HRNet's ImageNet weights": {"transition1.0.0.weight": ANY, "classifier.weight": (1000, None)},
    "the bottom-up detector with ResNet152": {"backbone.res4.35.conv1.weight": ANY},
    "torchvision's ResNet101": {"layer3.22.conv1.weight": ANY, "fc.weight": (None, 2048)},
    "AdaBins' encoder alone": {"conv_stem.weight": (48, 3, 3, 3), "conv_head.weight": (2048, 512, 1, 1)},
    "MUSIQ at one scale (full_size_single_scale); the file with three is needed": {
        "Transformer.scaleembed_input.scale_embedding": (1, 1, 384)
    },
    "Swin-T": {"layers.2.blocks.5.norm1.weight": (384,), "norm.weight": (768,)},
    "Swin-L": {"layers.2.blocks.17.norm1.weight": (768,), "norm.weight": (1536,)},
}


def looks_like(tensors: Mapping[str, np.ndarray]) -> str:
    """Says what the tensors are: rows of the zoo and their layout, or a network of OTHERS; "" if they are unknown."""
    for wrapper in WRAPPERS:
        inside = {name.removeprefix(wrapper): t for name, t in tensors.items() if name.startswith(wrapper)}
        if found := _known({name.removeprefix("module."): tensor for name, tensor in inside.items()}):
            return found + (f", under the key {wrapper[:-1]!r}" if wrapper else "")
    return ""


def _known(tensors: Mapping[str, np.ndarray]) -> str:
    layout = "official"
    with suppress(WeightsError):
        tensors, layout = official_swin(tensors)
    rows = [row.name for row in CHECKPOINTS.values() if row.signature and not conflicts(row, tensors)]
    if rows:
        return " or ".join(rows) + ("" if layout == "official" else f" in the {layout} layout")
    return "; ".join(name for name, signature in OTHERS.items() if not _differences(signature, tensors))


def conflicts(row: Checkpoint, tensors: Mapping[str, np.ndarray]) -> list[str]:
    """Says where tensors, by official name, differ from the row's signature; an empty list if nowhere."""
    keys = row.key_map()
    canonical = {known: tensor for name, tensor in tensors.items() if (known := keys.canonical(name)) is not None}
    tensors = {**canonical, **tensors}
    signature = {name: shape for name, shape in row.signature.items() if name in tensors or name not in row.optional}
    return _differences(signature, tensors)


def _differences(signature: Mapping[str, Shape], tensors: Mapping[str, np.ndarray]) -> list[str]:
    found = {name: np.shape(tensors[name]) for name in signature if name in tensors}
    return [
        f"{name} is {found.get(name, 'missing')}, should be {shape}"
        for name, shape in signature.items()
        if name not in found
        or len(shape) != len(found[name])
        or any(want not in (None, have) for want, have in zip(shape, found[name], strict=True))
    ]
