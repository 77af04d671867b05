"""An export without a history: it scores photos by what they show, with no posts to compare them with."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from configs import light
from data_builders.features.features import Features
from data_builders.posts.post import SCHEMA
from ipa_jax.applications.account import Account
from ipa_jax.applications.export_model import ExportModel
from ipa_jax.applications.history_bank import history_bank
from ipa_jax.applications.own_past import own_past
from ipa_jax.applications.ranked_photo import RankedPhoto
from ipa_jax.applications.ranking import Arranged, Ranking

VERDICT = (
    "No history was given, so the order is that of the export alone, and nothing here says how often it is right for "
    "an account."
)
NO_POSTS = " The export also reads how similar posts did; it was given none."


class ExportAlone(Account):
    """An account without posts."""

    def described(self, files: Sequence[Path], store: Path) -> tuple[Features, dict[int, str]]:
        """Nothing: without posts to compare with, no features are needed."""
        return _none(len(files)), {}

    def explain(self, names: tuple[str, ...], features: Features, scorer: str = "model") -> list[RankedPhoto]:
        """Scores photos; there are no posts to explain a score with."""
        return [replace(photo, scores={}, reason="") for photo in super().explain(names, features, "model")]

    def on_record(self, arranged: Arranged, scorer: str = "model") -> Ranking:
        """Photos in order, without a track record."""
        assert self.model is not None
        verdict = VERDICT + NO_POSTS * self.model.reads_posts
        return replace(super().on_record(arranged, "model"), verdict=verdict)


def open_export(export: Path) -> ExportAlone:
    """Opens an export. Raises as ExportModel."""
    model = ExportModel(export, export)
    config = model.config.copy_and_resolve_references()
    config.data.similarity = light.get_config().data.similarity  # compares what `_none` has
    bank = history_bank(pl.DataFrame(schema=SCHEMA), _none(0), as_of=0)
    past = own_past(bank, config.data.to_dict(), model)
    return ExportAlone(export, export, config.lock(), bank, past, model, {})


def _none(photos: int) -> Features:
    sides, nothing = np.ones(photos, np.int32), np.zeros((photos, 1), np.float32)
    return Features(None, None, None, sides, sides, nothing, nothing)
