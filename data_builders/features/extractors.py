"""The frozen extractors of the feature store's parts: each prepares its networks once and turns photos into row values.

pose: DEKR. background: DeepLabV3. caption: the bottom-up detector and M2 Transformer. depth: AdaBins. Their choices are
`config.extract`; `extract_inputs` says what each is given.
"""

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from data_builders.features.frozen_network import OnDevices, fetch, how_to_get, load, source_sha256, weights_path
from third_party_ports.checkpoints import zoo

VERSION = "1"  # raised when the same weights and choices come to give other features


def networks(part: str, choices: Mapping[str, Any]) -> tuple[str, ...]:
    """The rows of third_party_ports.checkpoints.zoo that a part needs."""
    own = choices[part]
    if part == "pose":
        return (own["network"], *(["dekr_rescore"] if own["rescore"] else []))
    if part == "caption":
        return (own["detector"], own["captioner"], *(["m2_vocab"] if own["text"] else []))
    return (own["network"],)


def require_weights(parts: Sequence[str], choices: Mapping[str, Any]) -> None:
    """Raises ValueError that says, for each file of weights that is not there, how to get it."""
    needed = [name for part in parts for name in networks(part, choices)]
    lacking = [name for name in needed if not weights_path(choices["weights"], name).is_file()]
    if lacking:
        commands = "".join(f"\n  {how_to_get(choices['weights'], name)}" for name in lacking)
        raise ValueError(
            f"{choices['weights']}: weights are missing (--config.extract.weights names their folder):{commands}"
        )


def header(part: str, choices: Mapping[str, Any], random: bool) -> dict[str, str]:
    """What the store's header says of a part: networks, version with the choices that act, sha256 of the weights."""
    names = networks(part, choices)
    acting = {**choices[part], "dtype": choices["dtype"]}
    if part == "pose":
        acting["keypoint_threshold"] = choices["keypoint_threshold"]
    hashed = [name for name in names if zoo.checkpoint(name).module]
    sha256 = "random" if random else "+".join(source_sha256(choices["weights"], name) for name in hashed)
    version = f"{VERSION} {json.dumps(acting, sort_keys=True, separators=(',', ':'))}"
    return {"name": "+".join(names), "version": version, "weights_sha256": sha256}


class Pose:
    """DEKR and its post-processing on the host: keypoints, boxes and scores of the people in a photo."""

    part = "pose"

    def __init__(self, choices: Mapping[str, Any], random: bool):
        from third_party_ports.dekr.network import mirrored
        from third_party_ports.dekr.poses import PoseSettings
        from third_party_ports.imagenet import normalise

        own = choices["pose"]
        self.header = header("pose", choices, random)
        self._settings = PoseSettings(
            scales=tuple(own["scales"]),
            flip=own["mirror"],
            match_hmp=own["refine"],
            person_score=own["person_score"],
            keypoint_score=choices["keypoint_threshold"],
        )
        side = own["side"]
        network, variables = load(
            own["network"], own["fields"], choices["weights"], (1, side, side, 3), choices["dtype"], random
        )

        def maps(variables, canvases):
            canvases = normalise(canvases)
            heat, offset, _ = network.apply(variables, canvases)
            if not own["mirror"]:
                return heat, offset
            return heat, offset, *network.apply(variables, mirrored(canvases))[:2]

        self._maps = OnDevices(maps, variables)
        self._rescore = _rescorer(choices, random) if own["rescore"] else None

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


def _rescorer(choices: Mapping[str, Any], random: bool) -> Any:
    from third_party_ports.dekr.rescoring import FEATURES, rescorer

    network, variables = load("dekr_rescore", {}, choices["weights"], (1, FEATURES), "float32", random)
    return rescorer(variables, network)


class Background:
    """DeepLabV3's features where the photo shows no known object, averaged."""

    part = "background"

    def __init__(self, choices: Mapping[str, Any], random: bool):
        from third_party_ports.deeplabv3 import background_vector
        from third_party_ports.imagenet import normalise

        own = choices["background"]
        self.header = header("background", choices, random)
        shape = (1, own["side"], own["side"], 3)
        network, variables = load(own["network"], own["fields"], choices["weights"], shape, choices["dtype"], random)

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


class Caption:
    """Regions of the bottom-up detector, read by M2 Transformer: the caption vector, and the caption for people."""

    part = "caption"

    def __init__(self, choices: Mapping[str, Any], random: bool):
        import jax.numpy as jnp

        from third_party_ports.bottom_up.detector import region_features
        from third_party_ports.m2_transformer.beam_search import search_captions
        from third_party_ports.m2_transformer.network import caption_vector
        from third_party_ports.m2_transformer.text import load_vocabulary

        own = choices["caption"]
        self.header = header("caption", choices, random)
        detector, detector_variables = load(
            own["detector"], own["detector_fields"], choices["weights"], (1, 224, 224, 3), choices["dtype"], random
        )
        width = 32 * detector.width
        shape = (1, own["regions"], width)
        captioner, captioner_variables = load(
            own["captioner"], own["captioner_fields"], choices["weights"], shape, choices["dtype"], random
        )
        self._eos, self._vocabulary = captioner.eos, None
        if own["text"]:
            self._vocabulary = (
                [f"<{i}>" for i in range(captioner.vocabulary)]
                if random
                else load_vocabulary(weights_path(choices["weights"], "m2_vocab"))
            )

        def captions(variables, batch):
            found = region_features(
                detector,
                variables["detector"],
                batch["canvas"],
                batch["size"],
                batch["scale"],
                min_boxes=own["min_boxes"],
                max_boxes=own["max_boxes"],
            )
            # The captioner reads exactly `regions` rows, zeros after the last one: it was trained so.
            features = found.features[:, : own["regions"]]
            features = jnp.pad(features, ((0, 0), (0, own["regions"] - features.shape[1]), (0, 0)))
            count = jnp.minimum(found.count, own["regions"])
            levels = captioner.apply(variables["captioner"], features, count, method="encode")
            vector = caption_vector(levels, count)
            if not own["text"]:
                return (vector,)
            beams = search_captions(
                captioner, variables["captioner"], levels, count, beams=own["beam"], steps=own["words"]
            )
            return vector, beams.tokens[:, 0]

        self._captions = OnDevices(captions, {"detector": detector_variables, "captioner": captioner_variables})

    def shape(self, inputs: dict[str, Any]) -> Hashable:
        return inputs["canvas"].shape

    def start(self, batch: Sequence[dict[str, Any]]) -> Any:
        return self._captions(
            {
                "canvas": np.stack([one["canvas"] for one in batch]),
                "size": np.array([one["size"] for one in batch], np.int32),
                "scale": np.array([one["scale"] for one in batch], np.float32),
            }
        )

    def finish(self, started: Any, batch: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        from third_party_ports.m2_transformer.text import text

        vectors, *tokens = fetch(started)
        texts = [text(row, self._vocabulary, self._eos) for row in tokens[0]] if tokens else [None] * len(vectors)
        return [{"caption_vector": v, "caption_text": t} for v, t in zip(vectors, texts, strict=True)]


class Depth:
    """AdaBins' depth map of a photo squeezed to the size that the network was trained at."""

    part = "depth"

    def __init__(self, choices: Mapping[str, Any], random: bool):
        from third_party_ports.adabins.network import depth_maps
        from third_party_ports.imagenet import normalise

        own = choices["depth"]
        self.header = header("depth", choices, random)
        shape = (1, *own["size"], 3)
        network, variables = load(own["network"], own["fields"], choices["weights"], shape, choices["dtype"], random)

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


EXTRACTORS = {kind.part: kind for kind in (Pose, Background, Caption, Depth)}
