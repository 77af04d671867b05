"""Parameter groups, learning rate schedules and the optimizer of each."""

import math
import re
from collections.abc import Hashable, Mapping

import jax
import optax
from flax import traverse_util
from ml_collections import ConfigDict

from ipa_jax.models import registry
from ipa_jax.training import float16

FROZEN = "frozen"


def parameter_labels(params: Mapping, config: ConfigDict) -> Mapping:
    """The parameter group of each leaf by its path (`swin/layers_0/...`), as config.optim.groups says.

    Raises ValueError for a leaf that no pattern or more than one matches, or a pattern that matches no leaf.
    """
    patterns = {name: re.compile(group.pattern) for name, group in config.optim.groups.items()}
    frozen = registry.for_config(config).frozen(config)
    labels, used = {}, set()
    for path in traverse_util.flatten_dict(params, sep="/"):
        names = [name for name, pattern in patterns.items() if pattern.fullmatch(path)]
        if len(names) != 1:
            raise ValueError(f"config.optim.groups: {path} is matched by {names or 'no pattern'}; make it exactly one")
        used.update(names)
        labels[path] = FROZEN if path.startswith(frozen) else names[0]
    if idle := sorted(set(patterns) - used):
        raise ValueError(f"config.optim.groups: {idle} match no parameter; correct or remove the pattern")
    return traverse_util.unflatten_dict(labels, sep="/")


def schedule(peak: float, warmup: int, total: int) -> optax.Schedule:
    """Linear warm-up, then cosine to 0 at step `total`."""
    warmup = min(warmup, max(total - 1, 0))
    return (
        optax.warmup_cosine_decay_schedule(0.0, peak, warmup, max(total, 1))
        if warmup
        else (optax.cosine_decay_schedule(peak, max(total, 1)))
    )


def optimizer(params: Mapping, config: ConfigDict, total_steps: int) -> optax.GradientTransformation:
    """Clipping at global norm, then AdamW with a learning rate and decay for each parameter group.

    Under model.dtype "float16" the loss is scaled (float16.py).
    """
    optim = config.optim

    def adamw(group: ConfigDict) -> optax.GradientTransformation:
        rate = schedule(group.learning_rate, optim.warmup_steps, total_steps)
        return optax.adamw(rate, optim.b1, optim.b2, weight_decay=optim.weight_decay if group.decay else 0.0)

    transforms: dict[Hashable, optax.GradientTransformation] = {FROZEN: optax.set_to_zero()}
    transforms |= {name: adamw(group) for name, group in optim.groups.items()}
    clipped = optax.clip_by_global_norm(optim.clip_norm)
    moved = optax.chain(clipped, optax.partition(transforms, parameter_labels(params, config)))
    return float16.scaled(moved) if config.model.dtype == "float16" else moved


def parameter_count(params: Mapping) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
