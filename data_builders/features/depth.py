"""Depth: what AdaBins is given, and its map."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from data_builders.features.frozen_network import OnDevices, fetch, header, load


class Depth:
    """AdaBins' depth map of a photo squeezed to the size that the network was trained at."""

    part = "depth"

    def __init__(self, options: Mapping[str, Any], random: bool):
        from third_party_ports.adabins.network import depth_maps
        from third_party_ports.imagenet import normalise

        own = options["depth"]
        self.header = header("depth", options, random)
        shape = (1, *own["size"], 3)
        network, variables = load(own["network"], own["fields"], options["weights"], shape, options["dtype"], random)

        def maps(variables, images):
            def apply(images):
                return network.apply(variables, images)

            return depth_maps(apply, normalise(images), network.min_depth, network.max_depth, own["mirror"])

        self._maps = OnDevices(maps, variables)

    def shape(self, inputs: np.ndarray) -> Hashable:
        return inputs.shape

    def start(self, batch: Sequence[np.ndarray]) -> Any:
        return self._maps(np.stack(batch))

    def finish(self, started: Any, batch: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        return [{"depth": depth} for depth in fetch(started)]


def prepare_depth(photo: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
    """uint8 [height, width, 3]."""
    from third_party_ports.imagenet import resize

    return resize(photo, tuple(options["size"]))
