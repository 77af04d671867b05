"""The depth vectors of each un-augmented image, made once: model.depth.resnet = "cached" (section 3.3)."""

from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict
from tqdm import tqdm

from data_builders.dataset import GroupDataset
from ipa_jax.training.scorer import Scorer
from ipa_jax.training.workdir import WorkdirError
from third_party_ports import checksums
from third_party_ports.files import replacing


def depth_vectors(file: Path, variables: dict, config: ConfigDict) -> Path:
    """Float16 [images of the train split, V, C], in the index's order, in a .npy file. An existing file is kept.

    The first process writes it, the others of a distributed run wait for it.
    variables: {"params", "batch_stats"} with the ResNet, which stays as it is for the whole run.
    Raises WorkdirError where the existing file is damaged.
    """
    if jax.process_index() == 0 and not _intact(file):
        _write(file, variables, GroupDataset(config.data_dir, "train", verify="index"), config)
        checksums.write(file.parent)
    multihost_utils.sync_global_devices(f"written: {file}")
    return file


def _intact(file: Path) -> bool:
    """Whether the file is there with its checksum, which is compared."""
    if not file.is_file():
        return False
    sums = checksums.read(file.parent, WorkdirError, f"delete {file}; the same command makes it again")
    if sums.has(file.name):
        sums.check([file.name])
    return sums.has(file.name)


def _write(file: Path, variables: dict, dataset: GroupDataset, config: ConfigDict) -> None:
    images = len(dataset.images)
    file.parent.mkdir(parents=True, exist_ok=True)
    bar = tqdm(total=images, desc="depth vectors", unit="image")
    with replacing(file) as temporary, bar:
        stored, start = None, 0
        for vectors in Scorer(config).outputs(variables, dataset, "depth_vectors"):
            if stored is None:
                shape = (images, *vectors.shape[1:])
                stored = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
            stored[start : start + len(vectors)] = vectors
            start += len(vectors)
            bar.update(len(vectors))
        assert stored is not None, "a train split has images"
        stored.flush()
