"""The light profile: one EfficientNet-Lite says what a scene looks like and, in words, what is in it.

It stands in for the paper's background and caption (section 3.2.1), whose networks are 20 times its size or more. Its
weights come with a pip package (extra `light`).
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from data_builders.features.extractors import Extractor
from third_party_ports.efficientnet_lite_input import BORDER, centre_square, scaled
from third_party_ports.imagenet import class_names

NAMED = 3  # classes that the caption's text names
CPU_IMAGES = 2  # that a CPU computes at once: the maps of 8 do not fit its caches, and take 1.4 times as long


class Light(Extractor):
    """EfficientNet-Lite on the photo's centre square, for two parts in one pass.

    background: float32 [1280], the mean of the last map. caption: float32 [1000], the square root of the shares of
    ImageNet's classes, so that it has length 1; its text names the three most likely classes with their shares.
    """

    name = "light"

    def __init__(self, options: Mapping[str, Any], random: bool):
        import jax
        import jax.numpy as jnp

        from data_builders.features.frozen_network import OnDevices, load

        own = options["light"]
        shape = (1, own["side"], own["side"], 3)
        network, variables = load(own["network"], own["fields"], options["weights"], shape, options["dtype"], random)

        def features(variables: Any, images: Any) -> Any:
            pooled, out = network.apply(variables, scaled(images), train=False)
            return pooled, jnp.sqrt(jax.nn.softmax(out["logits"].astype(jnp.float32)))

        def by_parts(variables: Any, images: Any) -> Any:
            parts = images.reshape(-1, math.gcd(len(images), CPU_IMAGES), *images.shape[1:])
            found = jax.lax.map(lambda part: features(variables, part), parts)
            return jax.tree.map(lambda values: values.reshape(-1, values.shape[-1]), found)

        # One shape for all batches: to compile another one takes as long as to describe a hundred photos.
        function = by_parts if jax.default_backend() == "cpu" else features
        self._features = OnDevices(function, variables, least=options["batch"])

    @classmethod
    def near(cls, options: Mapping[str, Any]) -> int:
        return 2 * (options["light"]["side"] + BORDER)  # twice what the network sees: the grid does not show

    @staticmethod
    def prepare(photo: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
        """Cuts the centre square to uint8 [side, side, 3]."""
        return centre_square(photo, options["light"]["side"])

    def shape(self, inputs: np.ndarray) -> Hashable:
        return inputs.shape

    def start(self, batch: Sequence[np.ndarray]) -> Any:
        return self._features(np.stack(batch))

    def finish(self, started: Any, batch: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        from data_builders.features.frozen_network import fetch

        return [
            {"background": pooled, "caption_vector": root, "caption_text": most_likely(root**2)}
            for pooled, root in zip(*fetch(started), strict=True)
        ]


def most_likely(shares: np.ndarray) -> str:
    """Names the most likely of ImageNet's classes: shares [C] -> "espresso 62 %, cup 20 %, eggnog 4 %"."""
    best = np.argsort(-shares, kind="stable")[:NAMED]
    return ", ".join(f"{class_names()[i]} {100 * shares[i]:.0f} %" for i in best)
