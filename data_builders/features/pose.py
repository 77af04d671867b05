"""Poses: what DEKR is given, and the people that it finds."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from data_builders.features.frozen_network import OnDevices, fetch, header, load


class Pose:
    """DEKR and its post-processing on the host: keypoints, boxes and scores of the people in a photo."""

    part = "pose"

    def __init__(self, options: Mapping[str, Any], random: bool):
        from third_party_ports.dekr.network import mirrored
        from third_party_ports.dekr.poses import PoseSettings
        from third_party_ports.imagenet import normalise

        own = options["pose"]
        self.header = header("pose", options, random)
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

        def maps(variables, canvases):
            canvases = normalise(canvases)
            heat, offset, _ = network.apply(variables, canvases)
            if not own["mirror"]:
                return heat, offset
            return heat, offset, *network.apply(variables, mirrored(canvases))[:2]

        self._maps = OnDevices(maps, variables)
        self._rescore = _rescorer(options, random) if own["rescore"] else None

    def shape(self, inputs: dict[str, Any] | None) -> Hashable:
        return inputs and tuple(canvas.shape for canvas in inputs["canvases"].values())

    def start(self, batch: Sequence[dict[str, Any]]) -> Any:
        scales = batch[0]["canvases"]
        return {scale: self._maps(np.stack([one["canvases"][scale] for one in batch])) for scale in scales}

    def finish(self, started: Any, batch: Sequence[dict[str, Any] | None]) -> list[dict[str, Any]]:
        from third_party_ports.dekr.poses import people

        if started is None:  # too long a photo to be looked at
            return [{"people": []}]
        found = {scale: fetch(maps) for scale, maps in started.items()}
        rows = []
        for n, inputs in enumerate(batch):
            maps = {scale: tuple(part[n] for part in parts) for scale, parts in found.items()}
            if not self._settings.flip:
                maps = {scale: (*parts, None, None) for scale, parts in maps.items()}
            rows.append({"people": people(maps, inputs["geometry"], self._settings, self._rescore)})
        return rows


def _rescorer(options: Mapping[str, Any], random: bool) -> Any:
    from third_party_ports.dekr.rescoring import FEATURES, rescorer

    network, variables = load("dekr_rescore", {}, options["weights"], (1, FEATURES), "float32", random)
    return rescorer(variables, network)


def prepare_pose(photo: np.ndarray, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """`canvases` uint8 by scale and their `geometry`; None for a photo too long to be looked at."""
    from third_party_ports.dekr.canvas import AspectError, canvas

    canvases = {}
    for scale in options["scales"]:
        try:
            canvases[scale], geometry = canvas(photo, options["side"], scale, max_aspect=options["max_aspect"])
        except AspectError:
            return None
    return {"canvases": canvases, "geometry": geometry}
