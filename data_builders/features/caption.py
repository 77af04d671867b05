"""Captions: what the bottom-up detector is given, and what M2 Transformer makes of its regions."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from data_builders.features.frozen_network import OnDevices, fetch, header, load, weights_path


class Caption:
    """Regions of the bottom-up detector, read by M2 Transformer: the caption vector, and the caption for people."""

    part = "caption"

    def __init__(self, options: Mapping[str, Any], random: bool):
        import jax.numpy as jnp

        from third_party_ports.bottom_up.detector import region_features
        from third_party_ports.m2_transformer.beam_search import search_captions
        from third_party_ports.m2_transformer.network import caption_vector
        from third_party_ports.m2_transformer.text import load_vocabulary

        own = options["caption"]
        self.header = header("caption", options, random)
        detector, detector_variables = load(
            own["detector"], own["detector_fields"], options["weights"], (1, 224, 224, 3), options["dtype"], random
        )
        width = 32 * detector.width
        shape = (1, own["regions"], width)
        captioner, captioner_variables = load(
            own["captioner"], own["captioner_fields"], options["weights"], shape, options["dtype"], random
        )
        self._eos, self._vocabulary = captioner.eos, None
        if own["text"]:
            self._vocabulary = (
                [f"<{i}>" for i in range(captioner.vocabulary)]
                if random
                else load_vocabulary(weights_path(options["weights"], "m2_vocab"))
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


MULTIPLE = 128  # px: sides of the detector's canvases, so that a few compiled shapes serve photos of all sizes


def prepare_caption(photo: np.ndarray, options: Mapping[str, Any]) -> dict[str, Any]:
    """`canvas` float32 [h, w, 3], zeros after the photo's `size` (rows, columns), and its `scale`."""
    from third_party_ports.bottom_up.input import padded, region_input

    values, scale = region_input(photo, options["short_side"], options["long_side"])
    canvas, size = padded(values, MULTIPLE)
    return {"canvas": canvas, "size": size, "scale": scale}
