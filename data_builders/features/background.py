"""Background: DeepLabV3's features where a photo shows no known object."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from data_builders.features.extractors import Extractor
from third_party_ports.imagenet import normalise, resize


class Background(Extractor):
    """The mean of DeepLabV3's features over the cells of the class background (part "background", float32 [D])."""

    name = "background"

    def __init__(self, options: Mapping[str, Any], random: bool):
        from data_builders.features.frozen_network import OnDevices, load
        from third_party_ports.deeplabv3 import background_vector

        own = options["background"]
        shape = (1, own["side"], own["side"], 3)
        network, variables = load(own["network"], own["fields"], options["weights"], shape, options["dtype"], random)

        def vectors(variables: Any, images: Any) -> Any:
            logits, layer4, _ = network.apply(variables, normalise(images))
            return background_vector(logits, layer4)[0]

        self._vectors = OnDevices(vectors, variables)

    @staticmethod
    def prepare(photo: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
        """Squeezes the photo to uint8 [side, side, 3]."""
        side = options["background"]["side"]
        return resize(photo, (side, side))

    def shape(self, inputs: np.ndarray) -> Hashable:
        return inputs.shape

    def start(self, batch: Sequence[np.ndarray]) -> Any:
        return self._vectors(np.stack(batch))

    def finish(self, started: Any, batch: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        from data_builders.features.frozen_network import fetch

        return [{"background": vector} for vector in fetch(started)]
