"""Compares Swin with a fixture of any image side, batch, depths and window (the manifest's `config`)."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from third_party_ports.parity.fixture import Comparison, Fixture
from third_party_ports.parity.images import normalised, recorded, stored_names, unit_images
from third_party_ports.swin import KEYS, Swin, grids, relative_position_index, shift_mask

MODELS = ("swin_b",)
LIMIT = 5e-6  # about 1e-6 was seen; a LayerNorm epsilon of 1e-6 gives 5e-6 to 2e-5
INPUT_LIMIT = 1e-6  # the recipe on another machine


def needed(fixture: Fixture) -> set[str]:
    stages = {f"stage{s}" for s in range(len(fixture.manifest["config"]["depths"]))}
    return {"input", "patch_embed", "tokens", "pooled", *stages, *recorded(fixture)}


def compare(fixture: Fixture) -> Iterator[Comparison]:
    """Yields rows for the image, every tap (tokens [N, T, C]) and the pooled tokens."""
    config = fixture.manifest["config"]
    swin = Swin(config["patch"], config["embed"], tuple(config["depths"]), tuple(config["heads"]), config["window"])
    units = unit_images(fixture)
    images = normalised(fixture, units)
    shapes = jax.eval_shape(swin.init, jax.random.key(0), images)
    variables = fixture.variables(KEYS, shapes, computed=computed(swin, images.shape[1:3], fixture.manifest))
    _, taps = jax.jit(swin.apply)(variables, images)
    for name in stored_names(fixture.answers):
        if name == "input":
            yield fixture.absolute(name, units, INPUT_LIMIT)
        else:
            yield fixture.relative(name, taps[name], LIMIT)


def computed(swin: Swin, size: tuple[int, int], manifest: dict[str, Any]) -> dict[str, np.ndarray]:
    """Returns the index tables and masks that the official file also holds, named in the manifest's `computed`."""
    sides = grids(size, swin.patch, swin.window, swin.depths, swin.heads, swin.width)
    tensors = {}
    for name in manifest["computed"]:
        side = sides[int(name.split(".")[1])]
        window = min(swin.window, side)
        mask = name.endswith("attn_mask")
        tensors[name] = shift_mask(side, window, window // 2) if mask else relative_position_index(window)
    return tensors
