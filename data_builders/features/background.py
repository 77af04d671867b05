"""Background: what DeepLabV3 is given, and its features where no known object is."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from data_builders.features.frozen_network import OnDevices, fetch, header, load


class Background:
    """DeepLabV3's features where the photo shows no known object, averaged."""

    part = "background"

    def __init__(self, options: Mapping[str, Any], random: bool):
        from third_party_ports.deeplabv3 import background_vector
        from third_party_ports.imagenet import normalise

        own = options["background"]
        self.header = header("background", options, random)
        shape = (1, own["side"], own["side"], 3)
        network, variables = load(own["network"], own["fields"], options["weights"], shape, options["dtype"], random)

        def vectors(variables, images):
            logits, layer4, _ = network.apply(variables, normalise(images))
            return background_vector(logits, layer4)[0]

        self._vectors = OnDevices(vectors, variables)

    def shape(self, inputs: np.ndarray) -> Hashable:
        return inputs.shape

    def start(self, batch: Sequence[np.ndarray]) -> Any:
        return self._vectors(np.stack(batch))

    def finish(self, started: Any, batch: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        return [{"background": vector} for vector in fetch(started)]


def prepare_background(photo: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
    """uint8 [side, side, 3]."""
    from third_party_ports.imagenet import resize

    return resize(photo, (options["side"], options["side"]))
