"""I2PA's choice of train pairs, `i2pa.caption_filter`: both posts say little, so that likes differ for the picture.

The authors asked for few or no words, hashtags and mentions [recalled]; their limits are unknown, ours [choice] are
config.i2pa.caption_words and caption_tags. Only pairs that are trained on are chosen; validation and test keep theirs.
Imports no jax: reading processes import this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from ipa_jax.models import registry

if TYPE_CHECKING:
    from data_builders.dataset import GroupDataset

_TAG = re.compile(r"[#@]\w")


class CaptionFilter(NamedTuple):
    """The most words that a caption may have, and the most hashtags and mentions, which are no words."""

    words: int
    tags: int

    def short(self, captions: Iterable[str]) -> np.ndarray:
        """bool [N]: which of N captions are within both limits."""
        return np.array([self._is_short(caption) for caption in captions], bool)

    def short_images(self, dataset: GroupDataset) -> np.ndarray:
        """bool [I]: `short` of each image's post, in order of the index. Reads the whole split once."""
        records = tqdm(range(len(dataset)), desc="read captions", unit="group", disable=None)
        return np.concatenate([self.short(dataset[record]["captions"]) for record in records])

    def _is_short(self, caption: str) -> bool:
        words = sum(word[0] not in "#@" for word in caption.split())
        return words <= self.words and len(_TAG.findall(caption)) <= self.tags


def for_config(config: ConfigDict) -> CaptionFilter | None:
    """The filter that a config asks for; None: all valid pairs are trained on."""
    on = config.model.network == "i2pa" and config.i2pa.caption_filter
    return CaptionFilter(config.i2pa.caption_words, config.i2pa.caption_tags) if on else None


def check(config: ConfigDict) -> None:
    """Raises ValueError where pairs are chosen for a loss that has none."""
    if for_config(config) and registry.loss_of(config).of == "images":
        pairs = ", ".join(name for name, loss in registry.LOSSES.items() if loss.of == "pairs")
        raise ValueError(
            f"config.i2pa.caption_filter chooses pairs, but config.loss.name {config.loss.name!r} is a loss of single "
            f"images: take one of {pairs}, or set --config.i2pa.caption_filter=False"
        )
