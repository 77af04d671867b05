"""Tests of BatchNorm's statistics over the real images of all devices."""

import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np

from tests.helpers.paths import ROOT
from third_party_ports.layers.batch_norm import BatchNorm

VARIABLES = {
    "params": {"scale": jnp.array([1.5, 0.5]), "bias": jnp.array([0.1, -0.2])},
    "batch_stats": {"mean": jnp.array([0.3, 0.4]), "var": jnp.array([2.0, 3.0])},
}


def values() -> np.ndarray:
    return np.random.default_rng(0).normal(1, 2, (5, 3, 2, 2)).astype(np.float32)


def train(x, mask):
    y, moved = BatchNorm().apply(VARIABLES, x, train=True, mask=mask, mutable=["batch_stats"])
    return np.asarray(y), moved["batch_stats"]


def test_statistics_of_the_real_images():
    x, mask = values(), np.array([True, False, True, True, False])
    y, moved = train(x, mask)
    real = x[mask].astype(np.float64).reshape(-1, 2)
    mean, var = real.mean(0), real.var(0)
    expected = (x - mean) / np.sqrt(var + 1e-5) * [1.5, 0.5] + [0.1, -0.2]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(moved["mean"], 0.9 * np.array([0.3, 0.4]) + 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(moved["var"], 0.9 * np.array([2.0, 3.0]) + 0.1 * var, rtol=1e-5)


def test_an_empty_slot_changes_nothing():
    """Whatever is in a masked slot, even NaN, the real images' results are the same."""
    x, mask = values(), np.array([True, False, True, True, True])
    y, moved = train(x, mask)
    x[1] = np.nan
    y_nan, moved_nan = train(x, mask)
    np.testing.assert_array_equal(y[mask], y_nan[mask])
    jax.tree.map(np.testing.assert_array_equal, moved, moved_nan)


def test_without_a_mask_all_images_are_real():
    np.testing.assert_array_equal(train(values(), None)[0], train(values(), np.ones(5, bool))[0])


def test_without_a_real_image_the_running_statistics_stay():
    y, moved = train(values(), np.zeros(5, bool))
    assert np.isfinite(y).all()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), moved, VARIABLES["batch_stats"])


def test_inference_uses_and_keeps_the_running_statistics():
    x = values()
    y = BatchNorm().apply(VARIABLES, x, train=False)  # nothing is mutable: an update would raise
    expected = (x - np.array([0.3, 0.4])) / np.sqrt(np.array([2.0, 3.0]) + 1e-5) * [1.5, 0.5] + [0.1, -0.2]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_bfloat16_keeps_float32_statistics():
    y, moved = BatchNorm(jnp.bfloat16).apply(
        VARIABLES, values().astype(jnp.bfloat16), train=True, mutable=["batch_stats"]
    )
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(moved)} == {jnp.dtype("float32")}


def test_one_and_four_devices_agree():
    """Outputs, gradients and running statistics, with 2, 0, 1 and 3 real images on the four devices."""
    program = """
        import functools
        import jax, jax.numpy as jnp, numpy as np
        jax.config.update("jax_num_cpu_devices", 4)
        from tests.third_party_ports.layers.test_batch_norm import VARIABLES
        from third_party_ports.layers.batch_norm import BatchNorm

        rng = np.random.default_rng(1)
        x, target = rng.normal(1, 2, (2, 12, 3, 3, 2)).astype(np.float32)
        mask = np.zeros((4, 3), bool)
        mask[0, :2] = mask[2, 0] = mask[3] = True
        mask = mask.reshape(12)

        def step(axis_name, params, x, target, mask):
            def loss(params, x):
                variables = {"params": params, "batch_stats": VARIABLES["batch_stats"]}
                y, moved = BatchNorm().apply(
                    variables, x, train=True, mask=mask, axis_name=axis_name, mutable=["batch_stats"])
                return ((y - target) ** 2 * mask[:, None, None, None]).sum(), (y, moved["batch_stats"])
            (grads, dx), (y, moved) = jax.grad(loss, (0, 1), has_aux=True)(params, x)
            return jax.lax.psum(grads, axis_name) if axis_name else grads, dx, y, moved

        params = VARIABLES["params"]
        one = step(None, params, x, target, mask)
        cut = [a.reshape(4, 3, *a.shape[1:]) for a in (x, target, mask)]
        four = jax.pmap(functools.partial(step, "devices"), "devices", in_axes=(None, 0, 0, 0))(params, *cut)
        grads, dx, y, moved = jax.tree.map(np.asarray, four)
        for device in range(4):
            same = jax.tree.map(lambda leaf: leaf[device], (grads, moved))
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), same, (one[0], one[3]))
        np.testing.assert_allclose(dx.reshape(x.shape), one[1], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(y.reshape(x.shape), one[2], rtol=1e-4, atol=1e-5)
    """
    root = ROOT
    command = [sys.executable, "-c", textwrap.dedent(program)]
    environment = os.environ | {"PJRT_NPROC": "16"}  # more threads than devices, or a collective may wait for ever
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
