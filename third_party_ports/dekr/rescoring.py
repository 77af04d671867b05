"""DEKR's scoring net: how good a pose looks, judged from its 17 keypoints (HRNet/DEKR, MIT).

Its output multiplies a person's score and changes nothing else. The file is rescore/final_rescore_coco_kpt.pth.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from third_party_ports.checkpoints.weights import KeyMap
from third_party_ports.dekr.maps import KEYPOINTS
from third_party_ports.layers.linear import Linear

KEYS = KeyMap(wrappers=("best_state_dict", "state_dict"))
# Pairs of keypoints, (a, b): the vector from b to a.
LIMBS = np.array([(0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 6), (5, 7), (5, 11), (6, 8), (6, 12),
                  (7, 9), (8, 10), (11, 12), (11, 13), (12, 14), (13, 15), (14, 16)])  # fmt: skip
TORSO = [9, 11]  # limbs from shoulder to hip; their mean length is the unit
FEATURES = 3 * len(LIMBS) + KEYPOINTS
BATCH = 32  # people scored at once, so that one shape is compiled


class Rescorer(nn.Module):
    """Three layers. The output estimates a pose's OKS. It is not bounded and can be negative.

    Attributes:
      widths: of the hidden layers.
      dtype: of the computation; parameters stay float32.
    """

    widths: tuple[int, ...] = (256, 256)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """[N, 74] from `pose_features` -> [N] float32, 0 instead of NaN, and by name the hidden layers `l1`, `l2`."""
        x, out = features, {}
        for i, width in enumerate(self.widths, start=1):
            x = out[f"l{i}"] = nn.relu(Linear(width, dtype=self.dtype, name=f"l{i}")(x))
        x = Linear(1, dtype=self.dtype, name=f"l{len(self.widths) + 1}")(x)[:, 0].astype(jnp.float32)
        return jnp.where(jnp.isnan(x), 0.0, x), out


def pose_features(keypoints: np.ndarray) -> np.ndarray:
    """Computes the net's input.

    Args:
      keypoints: [N, 17, 3], x and y in pixels of the image, and score.

    Returns:
      float32 [N, 74]: vectors of the 19 limbs (dx, dy of each) and their lengths, both in units of the torso (at least
      1 pixel), and the keypoints' scores.
    """
    keypoints = np.asarray(keypoints, np.float32)
    vectors = keypoints[:, LIMBS[:, 0], :2] - keypoints[:, LIMBS[:, 1], :2]
    lengths = np.linalg.norm(vectors, axis=-1)
    unit = np.maximum(1, lengths[:, TORSO].mean(axis=1, keepdims=True))
    return np.concatenate([vectors.reshape(-1, 2 * len(LIMBS)) / unit, lengths / unit, keypoints[..., 2]], axis=1)


def rescorer(variables: Mapping[str, Any], network: Rescorer | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the net as `poses.people` takes it: keypoints [N, 17, 3] in image pixels -> factors float32 [N]."""
    apply = jax.jit((network or Rescorer()).apply)

    def factors(keypoints: np.ndarray) -> np.ndarray:
        features = pose_features(keypoints)
        padded = np.pad(features, ((0, -len(features) % BATCH), (0, 0)))
        return np.asarray(apply(variables, padded)[0])[: len(features)]

    return factors
