"""Ranks against scipy's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import rankdata

from ipa_jax.metrics.ranks import average_ranks

SHAPES = hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=9)


@given(hnp.arrays(st.sampled_from([np.int64, np.float64]), SHAPES, elements=st.integers(-4, 4)))
def test_ranks_are_those_of_scipy(values):
    np.testing.assert_array_equal(average_ranks(values), rankdata(values, axis=-1))


def test_equal_values_share_a_rank():
    np.testing.assert_array_equal(average_ranks(np.array([[30, 10, 30], [2, 2, 2]])), [[2.5, 1, 2.5], [2, 2, 2]])
