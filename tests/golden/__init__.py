"""Fixtures made by the original networks: `load(name)` rebuilds weights and input, and holds the answers."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from third_party_ports.parity import recipe


class Golden(NamedTuple):
    """`tensors` by official name; `images` [N, H, W, 3] normalised; `answers` as stored in io.npz."""

    manifest: dict[str, Any]
    tensors: dict[str, np.ndarray]
    images: np.ndarray
    answers: dict[str, np.ndarray]

    def errors(self, taps: dict[str, np.ndarray]) -> dict[str, float]:
        """Relative error ||out - ref|| / ||ref|| of each stored answer; `taps` must hold them all, in stored layout."""
        result = {}
        for name, reference in self.answers.items():
            tap = name.removeprefix("tap_")
            if tap == "input" or tap.endswith(("_index", "_shape")):
                continue
            values = np.asarray(taps[tap])
            if name.startswith("tap_"):
                assert values.shape == tuple(self.answers[f"{name}_shape"]), tap
                values = values.ravel()[self.answers[f"{name}_index"]]
            result[tap] = float(np.linalg.norm(values - reference) / np.linalg.norm(reference))
        return result


def load(name: str) -> Golden:
    """The fixture tests/golden/NAME."""
    folder = Path(__file__).parent / name
    manifest = json.loads((folder / "manifest.json").read_text())
    with np.load(folder / "io.npz") as stored:
        answers = dict(stored)
    given = manifest["input"]
    image = recipe.image(given["name"], tuple(given["shape"]), given["seed"])  # NCHW in [0, 1]
    np.testing.assert_array_equal(image.ravel()[answers["tap_input_index"]], answers["tap_input"])
    images = (image.transpose(0, 2, 3, 1) - np.float32(manifest["mean"])) / np.float32(manifest["std"])
    return Golden(manifest, recipe.state_dict(manifest), images, answers)
