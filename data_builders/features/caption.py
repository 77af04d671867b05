"""Captions: what M2 Transformer says of the regions that the bottom-up detector finds in a photo."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from data_builders.features.extractors import Extractor
from third_party_ports.bottom_up.input import region_input

MULTIPLE = 128  # px: sides of the detector's canvases are multiples of it, so a few compiled shapes serve all photos


class Caption(Extractor):
    """The bottom-up detector's regions, read by M2 Transformer (part "caption").

    The caption vector is float32 [E], of length 1: the mean of the last encoder level over the regions. The caption is
    stored too, for people to read.
    """

    name = "caption"

    def __init__(self, options: Mapping[str, Any], random: bool):
        import jax.numpy as jnp

        from data_builders.features.frozen_network import OnDevices, load
        from data_builders.features.weight_files import weights_path
        from third_party_ports.bottom_up.detector import region_features
        from third_party_ports.m2_transformer.beam_search import search_captions
        from third_party_ports.m2_transformer.network import caption_vector
        from third_party_ports.m2_transformer.text import load_vocabulary

        own = options["caption"]
        detector, detector_variables = load(
            own["detector"], own["detector_fields"], options["weights"], (1, 224, 224, 3), options["dtype"], random
        )
        width = 32 * detector.width
        shape = (1, own["regions"], width)
        captioner, captioner_variables = load(
            own["captioner"], own["captioner_fields"], options["weights"], shape, options["dtype"], random
        )
        self._eos = captioner.eos
        self._vocabulary: Sequence[str] | Mapping[int, str] = []
        if own["text"]:
            self._vocabulary = (
                [f"<{i}>" for i in range(captioner.vocabulary)]
                if random
                else load_vocabulary(weights_path(options["weights"], "m2_vocab"))
            )

        def captions(variables: Any, batch: Any) -> Any:
            found = region_features(
                detector,
                variables["detector"],
                batch["canvas"],
                batch["size"],
                batch["scale"],
                min_boxes=own["min_boxes"],
                max_boxes=own["max_boxes"],
            )
            # The captioner was trained on exactly `regions` rows, zeros after the last region.
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

    @classmethod
    def networks(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        own = options["caption"]
        return (own["detector"], own["captioner"], *(["m2_vocab"] if own["text"] else []))

    @staticmethod
    def prepare(photo: np.ndarray, options: Mapping[str, Any]) -> dict[str, Any]:
        """Makes the detector's input.

        Returns:
          `canvas`: float32 [h, w, 3], zeros below and right of the photo; `size`: rows and columns of the photo on it;
          `scale`: pixels of the canvas per pixel of the photo.
        """
        own = options["caption"]
        canvas, size, scale = region_input(photo, own["short_side"], own["long_side"], MULTIPLE)
        return {"canvas": canvas, "size": size, "scale": scale}

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
        from data_builders.features.frozen_network import fetch
        from third_party_ports.m2_transformer.text import text

        vectors, *tokens = fetch(started)
        texts = [text(row, self._vocabulary, self._eos) for row in tokens[0]] if tokens else [None] * len(vectors)
        return [{"caption_vector": v, "caption_text": t} for v, t in zip(vectors, texts, strict=True)]
