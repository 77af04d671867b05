"""Scores and metrics of a whole split."""

from collections import deque
from collections.abc import Iterator, Sequence

import jax
import numpy as np
import polars as pl
from jax.experimental import multihost_utils
from ml_collections import ConfigDict
from tqdm import tqdm

from data_builders.dataset import GroupDataset
from ipa_jax.input.batches import score_batches
from ipa_jax.input.vocabularies import Vocabularies
from ipa_jax.metrics.scored_pairs import score_table
from ipa_jax.metrics.split_metrics import evaluate
from ipa_jax.models import registry
from ipa_jax.training.devices import AXIS, ahead, to_devices
from ipa_jax.training.initial import with_resnet
from ipa_jax.training.steps import make_score_step
from third_party_ports import stopping


class Scorer:
    """The score step, compiled once for any number of sets of variables and splits."""

    def __init__(self, config: ConfigDict, dtype: str | None = None, vocabularies: Vocabularies | None = None):
        """dtype: of the computation (default: config.eval.dtype); vocabularies: for networks that read texts."""
        self._config, self._dtype = with_resnet(config), dtype or config.eval.dtype
        self._vocabularies = vocabularies or Vocabularies()
        self._devices = jax.local_devices()
        step = make_score_step(registry.build(self._config, dtype=self._dtype))
        self._step = jax.pmap(step, AXIS, devices=self._devices)

    def outputs(self, variables: dict, dataset: GroupDataset, what: str) -> Iterator[np.ndarray]:
        """The model's output `what` ("z" or "depth_vectors") of each image, in the index's order, a batch at a time.

        Every process has all images: no two need agree on a batch.
        """
        for out, mask in self._batches(variables, dataset, what):
            yield out[mask]

    def _batches(
        self,
        variables: dict,
        dataset: GroupDataset,
        what: str,
        rows: np.ndarray | None = None,
        process: int = 0,
        processes: int = 1,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(output of every slot, which slots hold an image) of each batch that one of some processes scores."""
        variables = to_devices(variables, self._devices)
        count = len(self._devices)
        precision = "highest" if self._dtype == "float32" else "default"
        images = self._config.eval.images * count
        batches = score_batches(
            dataset, self._config, images, packs=count, process_index=process, process_count=processes,
            vocabularies=self._vocabularies, rows=rows,
        )  # fmt: skip
        running: deque[tuple[jax.Array, np.ndarray]] = deque()
        for batch in batches:
            with jax.default_matmul_precision(precision):
                running.append((self._step(variables, batch)[what], batch["slot_mask"]))
            while len(running) > ahead():
                yield _flat(*running.popleft())
        while running:
            yield _flat(*running.popleft())

    def scores(self, variables: dict, dataset: GroupDataset, rows: np.ndarray | None = None) -> pl.DataFrame:
        """Columns account, record, image_id, post_id, likes and z float64: a row per image, in the index's order.

        Several processes share the images, and each has all scores in the end.

        Args:
          variables: of the network.
          dataset: the split.
          rows: i32, the rows of the split's index to score, ascending; None: all.

        Raises:
          FloatingPointError: a score is not finite.
        """
        images = dataset.images if rows is None else dataset.images[rows]
        processes, parts = jax.process_count(), []
        with tqdm(total=len(images), desc=f"score {dataset.split}", unit="image", disable=None) as bar:
            for out, mask in self._batches(variables, dataset, "z", rows, jax.process_index(), processes):
                parts.append(out)
                bar.update(int(mask.sum()) * processes)
                stopping.if_asked()
        z = np.stack(parts)  # [batches, images of a batch]; the last ones are empty slots
        if processes > 1:  # batch for batch, the processes scored neighbouring images
            z = multihost_utils.process_allgather(z).swapaxes(0, 1)
        z = z.reshape(-1)[: len(images)].astype(np.float64)
        if not np.isfinite(z).all():
            raise FloatingPointError(f"{int((~np.isfinite(z)).sum())} of {len(z)} scores are not finite")
        return score_table(images, z)


def _flat(out: jax.Array, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A batch's output [devices, slots, ...] on the host as [devices * slots, ...], and its mask."""
    values = np.asarray(out)
    return values.reshape(-1, *values.shape[mask.ndim :]), mask.reshape(-1)


def split_metrics(
    scores: pl.DataFrame, config: ConfigDict, factor: float | None = None, draws: int | None = None
) -> dict:
    """metrics.evaluate under the config's pair rule, bootstrap draws (unless given) and seed."""
    count: int = config.eval.bootstrap if draws is None else draws
    return evaluate(scores, config.data.pairs.min_ratio, factor=factor, draws=count, seed=config.seed)


def mean_scores(members: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """An ensemble's scores: frames of Scorer.scores, all of one split -> one of the same columns, z the mean."""
    total = members[0]["z"]
    for member in members[1:]:
        total = total + member["z"]
    return members[0].with_columns((total / len(members)).alias("z"))
