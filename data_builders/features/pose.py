"""Poses: the people that DEKR finds in a photo."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from data_builders.features.extractors import Extractor
from third_party_ports.dekr.canvas import AspectError, canvas
from third_party_ports.imagenet import normalise


class Pose(Extractor):
    """DEKR on the devices and its post-processing on the host: keypoints, boxes and scores (part "pose")."""

    name = "pose"

    def __init__(self, options: Mapping[str, Any], random: bool):
        import jax.numpy as jnp

        from data_builders.features.frozen_network import OnDevices, load
        from third_party_ports.dekr.network import mirrored
        from third_party_ports.dekr.poses import PoseSettings

        own = options["pose"]
        self._settings = PoseSettings(
            scales=tuple(own["scales"]),
            flip=own["mirror"],
            match_hmp=own["refine"],
            person_score=own["person_score"],
            keypoint_score=options["keypoint_threshold"],
        )
        side = own["side"]
        network, variables = load(
            own["network"], own["fields"], options["weights"], (1, side, side, 3), options["dtype"], random
        )

        def maps(variables: Any, canvases: Any) -> Any:
            canvases = normalise(canvases)
            if not own["mirror"]:
                return network.apply(variables, canvases)[:2]
            both = network.apply(variables, jnp.concatenate([canvases, mirrored(canvases)]))[:2]
            return *(maps[: len(canvases)] for maps in both), *(maps[len(canvases) :] for maps in both)

        self._maps = OnDevices(maps, variables)
        self._rescore = _rescorer(options, random) if own["rescore"] else None

    @classmethod
    def networks(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        own = options["pose"]
        return (own["network"], *(["dekr_rescore"] if own["rescore"] else []))

    @classmethod
    def acting(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        return super().acting(options) | {"keypoint_threshold": options["keypoint_threshold"]}

    @staticmethod
    def prepare(photo: np.ndarray, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Draws the photo on canvases.

        Returns:
          `canvases`: uint8 [h, w, 3] by scale; `geometry`: of the canvas of scale 1. None if the photo is longer than
          config.extract.pose.max_aspect allows: it is stored without people.
        """
        own, canvases = options["pose"], {}
        for scale in own["scales"]:
            try:
                canvases[scale], geometry = canvas(photo, own["side"], scale, max_aspect=own["max_aspect"])
            except AspectError:
                return None
        return {"canvases": canvases, "geometry": geometry}

    def shape(self, inputs: dict[str, Any] | None) -> Hashable:
        return None if inputs is None else tuple(canvas.shape for canvas in inputs["canvases"].values())

    def start(self, batch: Sequence[dict[str, Any]]) -> Any:
        scales = batch[0]["canvases"]
        return {scale: self._maps(np.stack([one["canvases"][scale] for one in batch])) for scale in scales}

    def finish(self, started: Any, batch: Sequence[Any]) -> list[dict[str, Any]]:
        from data_builders.features.frozen_network import fetch
        from third_party_ports.dekr.poses import people

        if started is None:  # the photos are too long
            return [{"people": []} for _ in batch]
        found = {scale: fetch(maps) for scale, maps in started.items()}
        rows = []
        for n, inputs in enumerate(batch):
            maps = {scale: tuple(part[n] for part in parts) for scale, parts in found.items()}
            if not self._settings.flip:
                maps = {scale: (*parts, None, None) for scale, parts in maps.items()}
            rows.append({"people": people(maps, inputs["geometry"], self._settings, self._rescore)})
        return rows


def _rescorer(options: Mapping[str, Any], random: bool) -> Any:
    from data_builders.features.frozen_network import load
    from third_party_ports.dekr.rescoring import FEATURES, rescorer

    network, variables = load("dekr_rescore", {}, options["weights"], (1, FEATURES), "float32", random)
    return rescorer(variables, network)
