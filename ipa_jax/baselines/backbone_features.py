"""What a trained backbone sees in each image: its pooled features, without the rest of the model."""

from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import polars as pl
from ml_collections import ConfigDict
from tqdm import tqdm

from data_builders.dataset import GroupDataset
from ipa_jax.baselines.neighbours import knn
from ipa_jax.input import photos
from ipa_jax.models.popularity import lite_fields, normalise
from ipa_jax.training.export import ExportError, load_export
from third_party_ports.efficientnet_lite import EfficientNetLite
from third_party_ports.efficientnet_lite_input import scaled
from third_party_ports.swin import Swin

BATCH = 64  # images per step; a shorter last batch is padded


def backbone_knn(dataset: GroupDataset, train: GroupDataset, export: Path) -> pl.DataFrame:
    """Neighbours by the cosine of the pooled backbone features of an export; see `neighbours.knn`.

    Raises:
      ExportError: as `backbone_features`.
    """
    units = {}
    for split in [train] if dataset is train else [train, dataset]:
        vectors = backbone_features(export, split)
        units[split.split] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return knn(dataset, train, lambda split, rows: units[split.split][rows["row"].to_numpy()], "backbone kNN")


def backbone_features(export: Path, dataset: GroupDataset) -> np.ndarray:
    """Features of each image, cut at its centre, in the order of the index: float32 [I, C], means over the
    backbone's regions.

    Args:
      export: the export/ folder of a run.
      dataset: the split.
    Raises:
      ExportError: there is no export, or its network has no backbone of model.backbone.
    """
    variables, config, _ = load_export(export)
    name = config.model.backbone
    if name not in variables["params"]:
        raise ExportError(f"{export} has no backbone (params/{name}); give an export of full, basic or light")
    own = {kind: tree[name] for kind, tree in variables.items() if name in tree}
    pooled, features = jax.jit(_pooled(config)), []
    with tqdm(total=len(dataset.images), desc=f"backbone {dataset.split}", unit="image", disable=None) as bar:
        for images in _batches(dataset, config.input.resize, config.input.crop):
            filled = np.concatenate([images, np.zeros((BATCH - len(images), *images.shape[1:]), np.uint8)])
            with jax.default_matmul_precision("highest"):
                features.append(np.asarray(pooled(own, filled))[: len(images)])
            bar.update(len(images))
    return np.concatenate(features).astype(np.float32)


def _pooled(config: ConfigDict) -> Callable[[dict, jax.Array], jax.Array]:
    """(variables of the backbone, u8 [N, c, c, 3]) -> [N, C]."""
    if config.model.backbone == "swin":
        swin = Swin(**config.model.swin)
        return lambda variables, images: swin.apply(variables, normalise(images / np.float32(255)))[0].mean(axis=1)
    lite = EfficientNetLite(**lite_fields(config.model.efficientnet_lite))
    return lambda variables, images: lite.apply(variables, scaled(images), train=False)[0]


def _batches(dataset: GroupDataset, resize: int, crop: int) -> Iterator[np.ndarray]:
    """u8 [<= BATCH, crop, crop, 3], every image once."""
    cut, waiting = photos.centre_cut(resize, crop), []
    for record in range(len(dataset)):
        for photo in dataset[record]["images"]:
            waiting.append(photos.cut_out(photos.decode(photo, resize), cut, crop))
            if len(waiting) == BATCH:
                yield np.stack(waiting)
                waiting = []
    if waiting:
        yield np.stack(waiting)
