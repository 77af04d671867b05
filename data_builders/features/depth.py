"""Depth: AdaBins' map of a photo."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from data_builders.features.extractors import Extractor
from third_party_ports.imagenet import normalise, resize


class Depth(Extractor):
    """AdaBins' depth map of a photo squeezed to the size that the network was trained at (part "depth")."""

    name = "depth"

    def __init__(self, options: Mapping[str, Any], random: bool):
        from data_builders.features.frozen_network import OnDevices, load
        from third_party_ports.adabins.network import depth_maps

        own = options["depth"]
        shape = (1, *own["size"], 3)
        network, variables = load(own["network"], own["fields"], options["weights"], shape, options["dtype"], random)

        def maps(variables: Any, images: Any) -> Any:
            def apply(images: Any) -> Any:
                return network.apply(variables, images)

            return depth_maps(apply, normalise(images), network.min_depth, network.max_depth, own["mirror"])

        self._maps = OnDevices(maps, variables)

    @staticmethod
    def prepare(photo: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
        """Squeezes the photo to uint8 [height, width, 3] of config.extract.depth.size."""
        return resize(photo, tuple(options["depth"]["size"]))

    def shape(self, inputs: np.ndarray) -> Hashable:
        return inputs.shape

    def start(self, batch: Sequence[np.ndarray]) -> Any:
        return self._maps(np.stack(batch))

    def finish(self, started: Any, batch: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        from data_builders.features.frozen_network import fetch

        return [{"depth": depth} for depth in fetch(started)]
