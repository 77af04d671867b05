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


@given(hnp.arrays(np.int64, (2, 7), elements=st.integers(0, 4)), st.integers(0, 2**32))
def test_a_value_that_occurs_several_times_counts_as_often(values, seed):
    times = np.random.default_rng(seed).integers(1, 4, values.shape[1])
    for row, ranks in zip(values, average_ranks(values, times), strict=True):
        np.testing.assert_array_equal(np.repeat(ranks, times), rankdata(np.repeat(row, times)))


def test_equal_values_share_a_rank():
    np.testing.assert_array_equal(average_ranks(np.array([[30, 10, 30], [2, 2, 2]])), [[2.5, 1, 2.5], [2, 2, 2]])
