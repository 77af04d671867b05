"""The five depth vectors of each un-augmented image, made once: model.depth.resnet = "cached" (section 3.3)."""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from data_builders.dataset import GroupDataset


def depth_vectors(file: Path, variables: dict, dataset: GroupDataset, config: ConfigDict) -> Path:
    """Writes float16 [images of the split, 5, C], in the index's order, to a .npy file; one that is there is kept.

    variables: {"params", "batch_stats"} with the ResNet, which stays as it is for the whole run.
    """
    from ipa_jax.evaluate import Scorer

    if file.is_file():
        return file
    images = len(dataset.images)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name("tmp." + file.name)  # np.load needs the ending
    stored, start = None, 0
    with tqdm(total=images, desc="depth vectors", unit="image") as bar:
        for vectors in Scorer(config).outputs(variables, dataset, "depth_vectors"):
            if stored is None:
                shape = (images, *vectors.shape[1:])
                stored = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
            stored[start : start + len(vectors)] = vectors
            start += len(vectors)
            bar.update(len(vectors))
    stored.flush()
    temporary.rename(file)
    return file
