"""Compares AdaBins with its fixture: both ranges, the average with the mirrored images, and the masks.

The fixture may have any image size, batch and seed. The limits fit maps of the size MAP_SCALE. For larger maps they
grow (`growth`), as rounding errors do.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from third_party_ports.adabins.network import KEYS, AdaBins, bins_to_depth, full_resolution, masks, with_mirrored
from third_party_ports.imagenet import normalise
from third_party_ports.parity.fixture import Comparison, Fixture
from third_party_ports.parity.fixture import compare as compare_arrays
from third_party_ports.parity.images import nchw, stored_names, unit_images

MODELS = ("adabins",)
RANGES = {"": (1e-3, 10.0), "_kitti": (1e-3, 80.0)}  # by the ends of the stored names
# Two float32 implementations differ by less than two thirds of these. The mistake that is hardest to see, bins that
# begin at 0, moves the edges by 1e-3.
MAP_LIMIT = 1e-4
ATTENTION_LIMIT = 2e-3
EDGE_LIMIT = {"": 2e-5, "_kitti": 1.6e-4}
DEPTH_LIMIT = {"": 5e-4, "_kitti": 5e-3}
MEAN_DEPTH_LIMIT = {"": 1e-4, "_kitti": 1e-3}
MASK_LIMIT = 1e-3  # share of the pixels
INPUT_LIMIT = 1e-6  # the recipe on another machine
MAP_SCALE = 1.5  # root mean square of the maps that these limits were found with
DEPTH, MASKS = jax.jit(bins_to_depth), jax.jit(masks)


def needed(fixture: Fixture) -> set[str]:
    depth = {f"{name}{end}" for end in RANGES for name in ("bin_edges", "pred", "final")}
    masked = {"masks", "masks_final_packed", "masks_final_shape"}
    encoder = {f"enc_{name}" for name in ("blocks0", "blocks2", "blocks4", "conv_head")}
    return {"centers", "bin_widths", "dec_conv2", "dec_out", "tokens", "range_attention", *depth, *masked, *encoder}


def compare(fixture: Fixture) -> Iterator[Comparison]:
    """Yields rows for the maps, tokens, bins, depth and masks of one pass over the images and the mirrored images."""
    answers = fixture.answers
    units = unit_images(fixture)
    images = normalise(units.transpose(0, 2, 3, 1))
    values = {"input": units, **outputs(fixture, images)}
    limits = limits_at(growth(fixture))
    for name in stored_names(answers):
        if name == "masks_final_shape":
            yield compare_arrays(name, values["masks_final"].shape[-3:], answers[name][-3:], "exact", 0)
        elif name == "masks_final_packed":
            width = int(answers["masks_final_shape"][-1])
            yield differing(name, values["masks_final"], np.unpackbits(answers[name], axis=-1)[..., :width])
        elif name == "masks":
            recorded = np.asarray(MASKS(answers["pred"][:, 0]))
            yield compare_arrays("masks (recorded pred)", *alike(recorded, answers[name]), "exact", 0)
            yield differing("masks (own pred)", values["masks"], answers[name])
        else:
            yield fixture.absolute(name, values[name], limits.get(name, limits["maps"]))
            if name.removesuffix("_kitti") in ("pred", "final"):
                yield mean_error(fixture, name, values[name], limits[f"{name} (mean)"])


def growth(fixture: Fixture) -> float:
    """Returns how many times larger the stored maps are than those that the limits were found with, at least 1.

    Random weights of some seeds make them, and with them the rounding errors, 30 times larger.
    """
    maps = [fixture.expected(name)[0].astype(np.float64) for name in ("enc_conv_head", "dec_out")]
    return max(1.0, *(float(np.sqrt(np.square(values).mean())) / MAP_SCALE for values in maps))


def limits_at(growth: float) -> dict[str, float]:
    """Returns the limits by stored name; names that are not listed have the limit of `maps`.

    Range attention multiplies maps by tokens that come from them, and depth follows from it, so both grow as a square.
    """
    limits = {"input": INPUT_LIMIT, "maps": MAP_LIMIT * growth, "range_attention": ATTENTION_LIMIT * growth**2}
    limits["bin_widths"] = EDGE_LIMIT[""] * growth
    for end in RANGES:
        limits |= dict.fromkeys((f"bin_edges{end}", f"centers{end}"), EDGE_LIMIT[end] * growth)
        for name in (f"pred{end}", f"final{end}"):
            limits |= {name: DEPTH_LIMIT[end] * growth**2, f"{name} (mean)": MEAN_DEPTH_LIMIT[end] * growth**2}
    return limits


def outputs(fixture: Fixture, images: np.ndarray) -> dict[str, np.ndarray]:
    """Returns all values by stored name, in the stored layout. The two kinds of checkpoint differ only in the range."""
    both = np.asarray(with_mirrored(jnp.asarray(images)))
    count = len(images)
    network = AdaBins()
    shapes = jax.eval_shape(network.init, jax.random.key(0), both)
    variables = fixture.variables(KEYS, shapes)
    probabilities, widths, out = jax.jit(partial(network.apply, method="probabilities"))(variables, both)
    maps = {f"enc_{name}": out[name] for name in ("blocks0", "blocks2", "blocks4", "conv_head")}
    maps |= {"dec_conv2": out["conv2"], "dec_out": out["decoder"], "range_attention": out["range_attention"]}
    values: dict[str, Any] = {name: nchw(np.asarray(value)[:count]) for name, value in maps.items()}
    values["tokens"] = np.asarray(out["tokens"])[:count].swapaxes(0, 1)
    values["bin_widths"] = np.asarray(widths)[:count]
    for end, (low, high) in RANGES.items():
        edges, depth = map(np.asarray, DEPTH(probabilities, widths, low, high))
        final = np.asarray(full_resolution(jnp.asarray(depth), images.shape[:3], low, high))
        edges, depth = edges[:count], depth[:count]
        centres = (edges[:, :-1] + edges[:, 1:]) / 2
        values |= {f"bin_edges{end}": edges, f"centers{end}": centres[(centres > low) & (centres < high)]}
        values |= {f"pred{end}": depth[:, None], f"final{end}": final[:, None]}
        values |= {f"masks{end}": MASKS(depth), f"masks_final{end}": MASKS(final)}
    return {name: np.asarray(value) for name, value in values.items()}


def alike(value: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns masks [N, 5, H, W] as the fixture stores them, and the stored ones.

    A fixture stores the masks of all images, or those of the first image without the first axis.
    """
    return value[0] if reference.ndim == value.ndim - 1 else value, reference


def differing(name: str, value: np.ndarray, reference: np.ndarray) -> Comparison:
    """Compares masks by the share of pixels that differ, the largest of any mask.

    The masks need not be equal, because the depth under the thresholds is only equal up to rounding.
    """
    value, reference = alike(value, reference)
    if value.shape != reference.shape:
        return Comparison(name, float("inf"), "absolute", MASK_LIMIT)
    return Comparison(name, float((value != reference).mean((-2, -1)).max()), "absolute", MASK_LIMIT)


def mean_error(fixture: Fixture, name: str, value: np.ndarray, limit: float) -> Comparison:
    """Compares by the mean |out - ref| over the stored values."""
    reference, index, shape = fixture.expected(name)
    value = np.asarray(value)
    error = float("inf")
    if value.shape == tuple(shape):
        error = float(np.abs((value if index is None else value.ravel()[index]) - reference).mean())
    return Comparison(f"{name} (mean)", error, "absolute", limit)
