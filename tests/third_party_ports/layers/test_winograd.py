"""Tests of third_party_ports.layers.winograd against the plain convolution in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from third_party_ports.layers import winograd


def values(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def slow(x, kernel, rate):
    """The convolution as a sum of shifted products, in float64."""
    h, w = x.shape[1:3]
    padded = np.pad(x.astype(np.float64), ((0, 0), (rate, rate), (rate, rate), (0, 0)))
    return sum(
        padded[:, i * rate : i * rate + h, j * rate : j * rate + w] @ kernel[i, j].astype(np.float64)
        for i, j in np.ndindex(3, 3)
    )


@pytest.mark.parametrize(
    ("shape", "rate"),
    [((2, 6, 8, 5), 1), ((1, 7, 5, 4), 1), ((1, 14, 14, 3), 2), ((2, 9, 11, 3), 4), ((1, 1, 1, 2), 1)],
)
def test_equals_the_convolution(shape, rate):
    x, kernel = values(shape, 0), values((3, 3, shape[-1], 7), 1)
    wanted = slow(x, kernel, rate)
    found = jax.jit(lambda x, kernel: winograd.tiled_convolution(x, kernel, rate, "highest"))(x, kernel)
    assert found.shape == wanted.shape
    assert np.linalg.norm(found - wanted) < 2e-6 * np.linalg.norm(wanted)


@pytest.fixture
def tiled(monkeypatch):
    """Counts the calls of the fast way."""
    calls, real = [], winograd.tiled_convolution
    monkeypatch.setattr(winograd, "tiled_convolution", lambda *given: calls.append(given) or real(*given))
    return calls


NHWC = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}


@pytest.mark.parametrize("padding", ["SAME", [(1, 1), (1, 1)]])
def test_takes_the_fast_way_where_it_pays(tiled, padding):
    x, kernel = values((1, 16, 16, 64), 0), values((3, 3, 64, 64), 1)
    found = winograd.convolution(x, kernel, (1, 1), padding, precision="highest", **NHWC)
    assert len(tiled) == (jax.default_backend() == "cpu")
    wanted = jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, precision="highest", **NHWC)
    assert np.linalg.norm(found - wanted) < 2e-6 * np.linalg.norm(wanted)


@pytest.mark.parametrize(
    ("x", "kernel", "options"),
    [
        ((1, 16, 16, 64), (3, 3, 64, 64), {"window_strides": (2, 2)}),
        ((1, 16, 16, 64), (3, 3, 64, 64), {"padding": "VALID"}),
        ((1, 16, 16, 64), (3, 3, 64, 64), {"padding": [(1, 1), (1, 1)], "rhs_dilation": (2, 2)}),
        ((1, 16, 16, 64), (3, 3, 64, 32), {}),
        ((1, 16, 16, 64), (5, 5, 64, 64), {}),
        ((1, 16, 8, 64), (3, 3, 64, 64), {}),
        ((1, 16, 16, 128), (3, 3, 64, 64), {"feature_group_count": 2}),
    ],
)
def test_leaves_the_others_as_they_are(tiled, x, kernel, options):
    x, kernel = values(x, 0), values(kernel, 1)
    options = {"window_strides": (1, 1), "padding": "SAME", "precision": "highest"} | NHWC | options
    found = winograd.convolution(x, kernel, **options)
    assert not tiled
    assert jnp.array_equal(found, jax.lax.conv_general_dilated(x, kernel, **options))


def test_bfloat16_stays_plain(tiled):
    x, kernel = values((1, 16, 16, 64), 0), values((3, 3, 64, 64), 1)
    winograd.convolution(jnp.bfloat16(x), jnp.bfloat16(kernel), (1, 1), "SAME", **NHWC)
    assert not tiled
