"""What must hold of a checkpoint's values, beyond names and shapes, before a port may use it.

A check takes the tensors by official name, returns a remark for the user or None, and raises WeightsError.
"""

from collections.abc import Mapping

import numpy as np

from third_party_ports.checkpoints.weights import WeightsError


def anchors(tensors: Mapping[str, np.ndarray]) -> None:
    """The bottom-up detector's anchor table, where the file holds it, is the one in `regions`."""
    from third_party_ports.bottom_up.regions import ANCHORS

    for name, table in tensors.items():
        if name.endswith("anchor_generator.cell_anchors.0") and not (
            table.shape == ANCHORS.shape and np.allclose(table, ANCHORS, rtol=0, atol=1e-3)
        ):
            raise WeightsError(
                f"{name} differs from the anchors of the Caffe networks, {ANCHORS[0].tolist()} and so on: "
                "take one of the files that bottom-up-attention.pytorch converted from Caffe."
            )


def projection(tensors: Mapping[str, np.ndarray]) -> str | None:
    """M2 Transformer masks a region whose projection sums to 0. That of an empty region must not, or the released
    network hid the empty rows that our port shows it."""
    names = ("encoder.fc.bias", "encoder.layer_norm.weight", "encoder.layer_norm.bias")
    if any(name not in tensors for name in names):
        return None  # the names are checked elsewhere
    bias, scale, shift = (np.asarray(tensors[name], np.float64) for name in names)
    x = np.maximum(bias, 0)
    total = ((x - x.mean()) / np.sqrt(x.var() + 1e-5) * scale + shift).sum()
    if abs(total) > 1e-5:
        return None
    return "the projection of an empty region sums to 0: with these weights the original hid padding; use mask_padding"
