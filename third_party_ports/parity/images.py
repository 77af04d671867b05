"""The input images of a fixture, by its manifest's `input`, `mean` and `std`, and the arrays it stores."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from third_party_ports.parity import recipe
from third_party_ports.parity.fixture import Fixture


def unit_images(fixture: Fixture) -> np.ndarray:
    """The recipe's images [N, 3, H, W] or image [3, H, W], float32 in [0, 1], before mean and std."""
    given = fixture.manifest["input"]
    return recipe.image(given["name"], tuple(given["shape"]), given["seed"])


def photo(fixture: Fixture) -> np.ndarray:
    """The recipe's one image as a decoded photo, [H, W, 3] uint8."""
    return np.round(255 * unit_images(fixture)).astype(np.uint8).transpose(1, 2, 0)


def normalised(fixture: Fixture, images: np.ndarray) -> np.ndarray:
    """[N, 3, H, W] in [0, 1] -> [N, H, W, 3] float32, normalised as the manifest says."""
    mean, std = (np.float32(fixture.manifest[name]) for name in ("mean", "std"))
    return (images.transpose(0, 2, 3, 1) - mean) / std


def nchw(values: ArrayLike) -> np.ndarray:
    """Maps [N, H, W, C] in the layout that fixtures store, [N, C, H, W]; other arrays as they are."""
    values = np.asarray(values)
    return values.transpose(0, 3, 1, 2) if values.ndim == 4 else values


def stored_names(answers: Iterable[str]) -> list[str]:
    """The names of the arrays in an .npz file: without `tap_`, and without the sampled positions and shapes."""
    names = set(answers)
    samples = {f"{name}{end}" for name in names for end in ("_index", "_shape")}
    return [name.removeprefix("tap_") for name in answers if name not in samples]


def recorded(fixture: Fixture) -> list[str]:
    """The taps whose rounding error the manifest tells, by the names they are stored under."""
    return list(fixture.manifest.get("float32_error", ()))
