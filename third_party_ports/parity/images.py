"""The input images of a fixture, made from its manifest's `input`, `mean` and `std`, and the names of its arrays."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from third_party_ports.parity import recipe
from third_party_ports.parity.fixture import Fixture


def unit_images(fixture: Fixture) -> np.ndarray:
    """Returns the recipe's images [N, 3, H, W] or image [3, H, W], float32 in [0, 1], before mean and std."""
    given = fixture.manifest["input"]
    return recipe.image(given["name"], tuple(given["shape"]), given["seed"])


def photo(fixture: Fixture) -> np.ndarray:
    """Returns the recipe's single image as a decoded photo, [H, W, 3] uint8."""
    return np.round(255 * unit_images(fixture)).astype(np.uint8).transpose(1, 2, 0)


def normalised(fixture: Fixture, images: np.ndarray) -> np.ndarray:
    """[N, 3, H, W] in [0, 1] -> [N, H, W, 3] float32, normalised as the manifest says."""
    mean, std = (np.float32(fixture.manifest[name]) for name in ("mean", "std"))
    return (images.transpose(0, 2, 3, 1) - mean) / std


def nchw(values: ArrayLike) -> np.ndarray:
    """Returns maps [N, H, W, C] as fixtures store them, [N, C, H, W], and other arrays unchanged."""
    values = np.asarray(values)
    return values.transpose(0, 3, 1, 2) if values.ndim == 4 else values


def stored_names(answers: Iterable[str]) -> list[str]:
    """Returns the names of the arrays in an .npz file without `tap_`, and without the samples' positions and shapes."""
    names = set(answers)
    samples = {f"{name}{end}" for name in names for end in ("_index", "_shape")}
    return [name.removeprefix("tap_") for name in answers if name not in samples]


def recorded(fixture: Fixture) -> list[str]:
    """Returns the stored names of the taps whose rounding error is in the manifest."""
    return list(fixture.manifest.get("float32_error", ()))
