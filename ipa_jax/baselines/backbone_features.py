"""What a trained Swin sees in each image: its pooled features, without the rest of the model."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from data_builders.dataset import GroupDataset

BATCH = 64  # images run at once; a shorter last batch is padded


def backbone_features(export: Path, dataset: "GroupDataset") -> "np.ndarray":
    """Float32 [I, C]: the mean over the tokens of the export's Swin of each image, centre cut, in the index's order.

    Raises ExportError where there is no export, or its network has no Swin at "swin".
    """
    import jax
    import numpy as np
    from tqdm import tqdm

    from ipa_jax.models.popularity import normalise
    from ipa_jax.training.export import ExportError, load_export
    from third_party_ports.swin import Swin

    variables, config, _ = load_export(export)
    if "swin" not in variables["params"]:
        raise ExportError(f"{export} has no backbone (params/swin): name the export of configs/full.py or basic.py")
    swin = Swin(**config.model.swin)

    @jax.jit
    def pooled(params: dict, images: jax.Array) -> jax.Array:  # u8 [N, c, c, 3] -> [N, C]
        return swin.apply({"params": params}, normalise(images / np.float32(255)))[0].mean(axis=1)

    features = []
    with tqdm(total=len(dataset.images), desc=f"backbone {dataset.split}", unit="image", disable=None) as bar:
        for images in _batches(dataset, config.input.resize, config.input.crop):
            filled = np.concatenate([images, np.zeros((BATCH - len(images), *images.shape[1:]), np.uint8)])
            with jax.default_matmul_precision("highest"):
                features.append(np.asarray(pooled(variables["params"]["swin"], filled))[: len(images)])
            bar.update(len(images))
    return np.concatenate(features).astype(np.float32)


def _batches(dataset: "GroupDataset", resize: int, crop: int) -> "Iterator[np.ndarray]":
    """u8 [<= BATCH, crop, crop, 3], every image once."""
    import numpy as np

    from ipa_jax.input import photos

    cut, waiting = photos.centre_cut(resize, crop), []
    for record in range(len(dataset)):
        for photo in dataset[record]["images"]:
            waiting.append(photos.cut_out(photos.decode(photo, resize), cut, crop))
            if len(waiting) == BATCH:
                yield np.stack(waiting)
                waiting = []
    if waiting:
        yield np.stack(waiting)
