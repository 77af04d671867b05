"""ResNet: parity with the original network, sizes, masks, precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden
from third_party_ports import weights
from third_party_ports.resnet import KEYS, ResNet


def images(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(7), (*shape, 3))


def filled(resnet: ResNet) -> dict:
    """Variables of random numbers everywhere, positive variances; to compile init would cost seconds."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key: resnet.init(key, images(1, 16, 16), train=False), jax.random.key(0))
    return jax.tree.map(lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(leaf.dtype), shapes)


@pytest.fixture(scope="module")
def small():
    resnet = ResNet((1, 2), 4, "small")
    return resnet, filled(resnet)


def test_golden_parity():
    """Every tap of torchvision's ResNet50; the classifier, which we lack, is applied here."""
    fixture = golden.load("resnet50")
    resnet = ResNet()
    shapes = jax.eval_shape(lambda key: resnet.init(key, fixture.images, train=False), jax.random.key(0))
    variables = weights.from_state_dict(KEYS, fixture.tensors, shapes)
    pooled, out = jax.jit(lambda v, x: resnet.apply(v, x, train=False))(variables, fixture.images)
    assert pooled.shape == (1, 2048)
    taps = {name: tap.transpose(0, 3, 1, 2) if tap.ndim == 4 else tap for name, tap in out.items()}
    taps["logits"] = pooled @ fixture.tensors["fc.weight"].T + fixture.tensors["fc.bias"]
    errors = fixture.errors(taps)
    assert len(errors) == 8
    assert max(errors.values()) < 1e-5, errors


def test_an_image_does_not_depend_on_its_batch(small):
    resnet, variables = small
    apply = jax.jit(lambda v, x: resnet.apply(v, x, train=False))
    x = images(2, 12, 12)
    both = apply(variables, x)[1]
    for n in range(2):
        alone = apply(variables, x[n : n + 1])[1]
        for name in both:
            np.testing.assert_allclose(both[name][n : n + 1], alone[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("stem", "size", "expected"),
    [
        ("imagenet", (224, 224), {"stem": (56, 56), "layer1": (56, 56), "layer2": (28, 28)}),
        ("imagenet", (75, 49), {"stem": (19, 13), "layer1": (19, 13), "layer2": (10, 7)}),
        ("small", (24, 24), {"stem": (12, 12), "layer1": (12, 12), "layer2": (6, 6)}),
        ("small", (11, 7), {"stem": (6, 4), "layer1": (6, 4), "layer2": (3, 2)}),
    ],
)
def test_sides(stem, size, expected):
    """Symmetric padding gives ceil(n / stride) on even and odd sides."""
    resnet = ResNet((1, 1), 4, stem)
    (pooled, out), _ = jax.eval_shape(
        lambda key: resnet.init_with_output(key, images(2, *size), train=False), jax.random.key(0)
    )
    assert {name: out[name].shape[1:3] for name in expected} == expected
    assert pooled.shape == (2, 4 * 4 * 2)
    assert set(out) == {"stem", "layer1_0", "layer1", "layer2_0", "layer2", "pooled"}


def test_training_ignores_masked_images_and_moves_statistics(small):
    resnet, variables = small
    mask = np.array([True, False, True])

    @jax.jit
    def train(x):
        return resnet.apply(variables, x, train=True, mask=mask, mutable=["batch_stats"])

    x = images(3, 12, 12)
    (pooled, _), moved = train(x)
    (again, _), moved_again = train(x.at[1].set(5.0))
    np.testing.assert_allclose(pooled[mask], again[mask], rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), moved, moved_again)
    differs = jax.tree.map(lambda a, b: not np.allclose(a, b), moved["batch_stats"], variables["batch_stats"])
    assert all(jax.tree.leaves(differs))


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_variables(small):
    resnet, variables = small
    half = ResNet((1, 2), 4, "small", jnp.bfloat16)
    x = images(2, 12, 12)
    (pooled, out), own = jax.eval_shape(lambda key: half.init_with_output(key, x, train=False), jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(own)} == {jnp.dtype("float32")}
    assert out["layer2"].dtype == jnp.bfloat16
    assert pooled.dtype == jnp.float32
    pooled = jax.jit(lambda x: half.apply(variables, x, train=False)[0])(x)
    full = jax.jit(lambda x: resnet.apply(variables, x, train=False)[0])(x)
    assert np.linalg.norm(pooled - full) < 0.05 * np.linalg.norm(full)


def test_unknown_stem():
    with pytest.raises(ValueError, match="stem 'tiny' is neither"):
        jax.eval_shape(lambda key: ResNet(stem="tiny").init(key, images(1, 16, 16), train=False), jax.random.key(0))
