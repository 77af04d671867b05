"""The steps of a build that can be replaced. ipa_jax.leakage.planted_build replaces some to plant a leak."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_builders.groups import Assign, assign_groups
from data_builders.retrieval.accounts import Account, groups_of_split
from data_builders.retrieval.top_k import Retrieved, retrieve


@dataclass(frozen=True)
class Steps:
    """The functions that a build calls; the defaults are the paper's method. A build through Beam pickles them.

    Attributes:
      assign_groups: assigns an account's posts to groups.
      groups_of_split: lists the groups of an account in a split.
      retrieve: finds what the images of an account retrieve.
    """

    assign_groups: Assign = assign_groups
    groups_of_split: Callable[[Account, int], list[tuple[int, np.ndarray]]] = groups_of_split
    retrieve: Callable[..., Retrieved] = retrieve


PAPER = Steps()
