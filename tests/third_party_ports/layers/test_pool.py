"""Tests of the max pool: its gradient is that of XLA's own, ties and edges included."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from third_party_ports.layers.pool import max_pool


@pytest.mark.parametrize("padding", [(1, 1), (0, 1)])
@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_the_gradient_is_that_of_xla(size, padding):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.integers(-2, 3, (2, *size, 3)), jnp.float32)  # few values, so many ties

    def plain(x):
        return nn.max_pool(x, (3, 3), (2, 2), [padding, padding])

    own, (expected, back) = max_pool(x, padding), jax.vjp(plain, x)
    np.testing.assert_array_equal(own, expected)
    slope = jnp.asarray(rng.normal(size=expected.shape), jnp.float32)
    found = jax.vjp(lambda x: max_pool(x, padding), x)[1](slope)[0]
    np.testing.assert_allclose(found, back(slope)[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.sum(), slope.sum(), rtol=1e-5)  # nothing is lost at the edges
