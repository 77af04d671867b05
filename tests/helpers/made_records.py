"""Records of runs that never ran: scores that follow the likes as well as is asked for."""

import numpy as np
import polars as pl

from ipa_jax.experiments import records
from ipa_jax.experiments.records import Record
from ipa_jax.metrics import split_metrics


def record(skill, world=0, noise_seed=0, accounts=30, groups=3, factor=2.0, validation=None):
    """A record whose z is `skill` * log likes + (1 - skill) * noise; `validation` is the skill on validation groups."""
    scores = drawn(skill, world, noise_seed, accounts, groups)
    figures = split_metrics.evaluate(scores, 2.0, factor=factor, draws=10)
    other = drawn(skill if validation is None else validation, world + 100, noise_seed, accounts, groups)
    kept = {"scores": records.compact(scores), "validation": records.compact(other)}
    return Record("x", {}, {}, figures, seconds=10.0 + world, **kept)


def drawn(skill, world, noise_seed, accounts, groups):
    """A frame of scores: `groups` groups of four posts for each account."""
    rng, own, rows = np.random.default_rng(world), np.random.default_rng((noise_seed, world)), []
    for account in range(accounts):
        for group in range(groups):
            likes = rng.integers(1, 1000, 4)
            z = skill * np.log(likes) + (1 - skill) * own.normal(size=4)
            number = account * groups + group
            rows += [(f"u{account}", number, f"i{i}", f"p{i}-{number}", int(likes[i]), z[i]) for i in range(4)]
    return pl.DataFrame(rows, schema=["account", "record", "image_id", "post_id", "likes", "z"], orient="row")


def runs(skill, seeds=2, **more):
    """The records of one row: one world per seed."""
    return {f"seed{s}/{s}": (f"seed{s}", record(skill, world=s, **more)) for s in range(seeds)}
