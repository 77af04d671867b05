"""Tests of NIMA: slow networks in NumPy, Keras's names, scores and losses by hand, training."""

import json
from dataclasses import replace

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from tests.helpers.slow_resnet import convolved, normed
from third_party_ports.checkpoints import conversion, identify, weights, zoo
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.parity import nima as parity
from third_party_ports.parity import recipe
from third_party_ports.parity.check import verify
from third_party_ports.parity.fixture import Fixture
from third_party_ports.peers import nima_input
from third_party_ports.peers.nima import KEYS, VGG_KEYS, Nima, NimaVGG, deviation, emd, emd_squared, mean_score

BLOCKS = ((6, 1), (8, 2), (8, 1))
TINY = {"stem": 4, "blocks": BLOCKS, "outputs": 7}
VGG = {"stages": ((3, 4), (5,)), "outputs": 6}


def images(count: int, side: int = 16) -> jax.Array:
    return jax.random.normal(jax.random.key(7), (count, side, side, 3))


def shapes_of(network, x) -> dict:
    return jax.eval_shape(lambda key: network.init(key, x, train=False), jax.random.key(0))


def filled(network, x) -> dict:
    """Variables of random numbers, with positive variances. (Compiling init would take seconds.)"""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(leaf.dtype), shapes_of(network, x))


@pytest.fixture(scope="module")
def tiny():
    network = Nima(**TINY)
    return network, filled(network, images(1))


# A fixture of other sizes, and the file of Keras's names


def tensor_list() -> list[list]:
    """[name, shape, dtype] of a checkpoint of TINY, the names as in the golden fixture."""

    def norm(name: str, channels: int) -> list[list]:
        return [
            [f"{name}_bn.{key}", [channels], "float32"] for key in ("weight", "bias", "running_mean", "running_var")
        ]

    tensors, inside = [["conv1.weight", [4, 3, 3, 3], "float32"], *norm("conv1", 4)], 4
    for i, (channels, _) in enumerate(BLOCKS, 1):
        tensors += [[f"conv_dw_{i}.weight", [inside, 1, 3, 3], "float32"], *norm(f"conv_dw_{i}", inside)]
        tensors += [[f"conv_pw_{i}.weight", [channels, inside, 1, 1], "float32"], *norm(f"conv_pw_{i}", channels)]
        inside = channels
    return [*tensors, ["dense.weight", [7, inside], "float32"], ["dense.bias", [7], "float32"]]


def keras_files(layer: str = "dense_1", path: str = "{0}/{0}/{1}:0") -> list[list]:
    """Returns [path in the file, name, axes] of each tensor; `layer` is the last layer's name."""
    weight = {4: ("kernel", [2, 3, 1, 0]), 2: ("kernel", [1, 0]), 1: ("gamma", [0])}
    others = {"bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    files = []
    for name, shape, _ in tensor_list():
        owner, kind = name.split(".")
        variable, axes = weight[len(shape)] if kind == "weight" else (others[kind], [0])
        if owner.startswith("conv_dw") and len(shape) == 4:
            variable, axes = "depthwise_kernel", [2, 3, 0, 1]
        if owner == "dense":
            owner, variable = layer, "bias" if kind == "bias" else "kernel"
        files.append([path.format(owner, variable), name, axes])
    return files


MANIFEST = {
    "model": "nima",
    "seed": 5,
    "gain": 1.4,
    "config": {"image": 22, "outputs": 7, "strides2": [2]},
    "input": {"name": "odd", "shape": [3, 37, 51], "seed": 3},
    "tensors": tensor_list(),
}


def slow_conv(x: np.ndarray, kernel: np.ndarray, stride: int, padding: str) -> np.ndarray:
    """[N, C, H, W] and [O, C, 3, 3] -> [N, O, H', W']. `same` pads even sides after the end only."""
    before = 1 if padding == "symmetric" or stride == 1 or x.shape[-1] % 2 else 0
    padded = np.pad(x, ((0, 0), (0, 0), (before, 1), (before, 1)))
    windows = sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nchwij,ocij->nohw", windows, kernel)


def slow_nima(x: np.ndarray, t: dict[str, np.ndarray], padding: str) -> dict[str, np.ndarray]:
    """[1, 3, H, W] in [-1, 1] -> every tap by name, NHWC."""

    def activated(x: np.ndarray, layer: str) -> np.ndarray:
        return np.clip(normed(x, t, f"{layer}_bn", 1e-3), 0, 6)

    x = activated(slow_conv(x, t["conv1.weight"], 2, padding), "conv1")
    taps = {"conv1": x}
    for i, (_, stride) in enumerate(BLOCKS, 1):
        alone = [
            slow_conv(x[:, c : c + 1], t[f"conv_dw_{i}.weight"][c : c + 1], stride, padding) for c in range(x.shape[1])
        ]
        taps[f"dw{i}"] = activated(np.concatenate(alone, 1), f"conv_dw_{i}")
        x = taps[f"pw{i}"] = activated(convolved(taps[f"dw{i}"], t[f"conv_pw_{i}.weight"]), f"conv_pw_{i}")
    taps = {name: tap.transpose(0, 2, 3, 1) for name, tap in taps.items()}
    pooled = x.mean((2, 3))
    logits = pooled @ t["dense.weight"].T + t["dense.bias"]
    votes = np.exp(logits) / np.exp(logits).sum()
    mean = (votes * np.arange(1, 8)).sum()
    std = np.sqrt((votes * (np.arange(1, 8) - mean) ** 2).sum())
    return taps | {"pooled": pooled, "logits": logits, "probs": votes, "mean": mean, "std": std}


def test_a_fixture_of_other_sizes(tmp_path):
    """Sides are 11 after the first convolution. `same` and `symmetric` pad odd sides alike."""
    photo = np.round(255 * recipe.image("odd", (3, 37, 51), 3)).astype(np.uint8).transpose(1, 2, 0)
    rows, columns = ((np.arange(22) + 0.5) * n // 22 for n in (37, 51))
    small = photo[rows.astype(int)][:, columns.astype(int)]
    x = (small.astype(np.float64) / 127.5 - 1).transpose(2, 0, 1)[None]
    arrays = {"tap_input": photo, "tap_resized": small}
    for prefix, padding in (("", "symmetric"), ("same_", "same")):
        taps = slow_nima(x, recipe.state_dict(MANIFEST), padding)
        arrays |= {f"{prefix}{name}": np.float32(tap) for name, tap in taps.items()}
    votes = np.random.default_rng(0).dirichlet(np.ones(7), (2, 3)).astype(np.float32)
    loss = np.sqrt(((votes[0].cumsum(-1) - votes[1].cumsum(-1)) ** 2).mean(-1))
    arrays |= {"loss_target": votes[0], "loss_estimate": votes[1], "loss_rms_cdf": loss}
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST | {"file": keras_files("votes", "{0}/{1}")}))
    np.savez(tmp_path / "io.npz", **arrays)
    found = verify(tmp_path)
    assert {row.comparison.array for row in found} == {name.removeprefix("tap_") for name in arrays}
    assert not [row for row in found if not row.passed]


@pytest.mark.parametrize("path", ["{0}/{0}/{1}:0", "{0}/{1}:0", "{0}/{0}/{1}", "{0}/{1}", "{0}/{0}_1/{1}:0",
                                  "model_weights/{0}/{0}/{1}:0"])  # fmt: skip
@pytest.mark.parametrize("layer", ["dense_1", "predictions"])
def test_names_of_keras_files(tmp_path, path, layer, tiny):
    """All spellings give the same name. The file of a whole model also holds its optimizer's numbers."""
    tensors = recipe.state_dict(MANIFEST)
    arrays = {file: tensors[name].transpose(axes) for file, name, axes in keras_files(layer, path)}
    parity.write_keras(tmp_path / "a.hdf5", arrays)
    if path.startswith("model_weights"):
        with h5py.File(tmp_path / "a.hdf5", "a") as file:
            file["optimizer_weights/Adam/iterations:0"] = 3
    for source, out in (("a.hdf5", "a.safetensors"), ("a.safetensors", "again.safetensors")):
        conversion.convert(tmp_path / source, tmp_path / out, KEYS, shapes_of(tiny[0], images(1)))
    loaded = weights.load(tmp_path / "again.safetensors", KEYS, tiny[1])
    params = loaded["params"]
    np.testing.assert_array_equal(params["conv1"]["kernel"], tensors["conv1.weight"].transpose(2, 3, 1, 0))
    depthwise = tensors["conv_dw_2.weight"]
    np.testing.assert_array_equal(params["conv_dw_2"]["kernel"][:, :, 0], depthwise[:, 0].transpose(1, 2, 0))
    np.testing.assert_array_equal(params["conv_pw_2"]["kernel"], tensors["conv_pw_2.weight"][:, :, 0, 0].T)
    np.testing.assert_array_equal(params["dense"]["kernel"], tensors["dense.weight"].T)
    np.testing.assert_array_equal(params["conv_pw_3_bn"]["scale"], tensors["conv_pw_3_bn.weight"])
    np.testing.assert_array_equal(loaded["batch_stats"]["conv1_bn"]["var"], tensors["conv1_bn.running_var"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("conv_dw_2_bn/conv_dw_2_bn/gamma:0"), "1 missing: conv_dw_2_bn.scale"),
        (
            lambda arrays: arrays.update({"conv_preds/conv_preds/kernel:0": np.ones((1, 1, 8, 9))}),
            "1 extra: conv_preds",
        ),
        (
            lambda arrays: arrays.update({"dense_1/dense_1/kernel:0": np.ones((7, 8))}),
            "1 misshapen: dense_1",
        ),
        (lambda arrays: arrays.update({"dense_2/dense_2/kernel:0": np.ones((8, 7))}), "two tensors .*dense_2"),
    ],
)
def test_other_files_are_refused(tmp_path, change, message, tiny):
    tensors = recipe.state_dict(MANIFEST)
    arrays = {file: tensors[name].transpose(axes) for file, name, axes in keras_files()}
    change(arrays)
    parity.write_keras(tmp_path / "a.hdf5", arrays)
    with pytest.raises(WeightsError, match=message):
        conversion.convert(tmp_path / "a.hdf5", tmp_path / "a.safetensors", KEYS, tiny[1])


def test_the_published_file_is_identified_and_converted(tmp_path, monkeypatch):
    """By Keras's own names, whatever the file is called. The row has the fields and inputs of TINY."""
    row = replace(
        zoo.checkpoint("nima_aesthetic"),
        fields=TINY,
        inputs=((1, 16, 16, 3),),
        signature={"conv_dw_3.kernel": (3, 3, 8, 1), "dense.kernel": (8, 7)},
    )
    monkeypatch.setitem(zoo.CHECKPOINTS, row.name, row)
    tensors = recipe.state_dict(MANIFEST)
    arrays = {file: tensors[name].transpose(axes) for file, name, axes in keras_files()}
    assert identify.looks_like({name.replace("/", "."): array for name, array in arrays.items()}) == row.name
    parity.write_keras(tmp_path / row.file, arrays)
    done = conversion.convert_row(row, tmp_path / row.file, tmp_path / "a.safetensors")
    assert (done.tensors, done.ignored) == (len(arrays), 0)
    with pytest.raises(WeightsError, match="this is the file of nima_aesthetic"):
        conversion.convert_row(zoo.checkpoint("nima_technical"), tmp_path / row.file, tmp_path / "b.safetensors")


# The photo


def test_resized_takes_the_nearest_pixel():
    photo = np.arange(5 * 3).reshape(5, 3, 1).repeat(3, 2).astype(np.uint8)
    small = nima_input.resized(photo, 2)
    assert small[..., 0].tolist() == [[3, 5], [9, 11]]  # rows 1 and 3 of 5, columns 0 and 2 of 3
    assert nima_input.resized(photo).shape == (224, 224, 3)


@pytest.mark.parametrize("kind", [np, jnp])
def test_scaled(kind):
    values = nima_input.scaled(kind.array([0, 51, 255], kind.uint8))
    assert values.dtype == np.float32
    assert isinstance(values, jax.Array) == (kind is jnp)
    np.testing.assert_allclose(values, [-1, -0.6, 1], rtol=1e-6)


# The networks


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_an_image_does_not_depend_on_its_batch(tiny, padding):
    network, variables = tiny
    apply = jax.jit(lambda v, x: network.clone(padding=padding).apply(v, x, train=False))
    votes, both = apply(variables, images(2))
    assert votes.shape == (2, 7)
    assert both["conv1"].shape == (2, 8, 8, 4)
    assert both["pw3"].shape == (2, 4, 4, 8)
    np.testing.assert_allclose(votes.sum(-1), 1, rtol=1e-6)
    alone = apply(variables, images(2).at[0].set(0.5))[1]
    for name in both:
        np.testing.assert_allclose(both[name][1], alone[name][1], rtol=1e-4, atol=1e-5, err_msg=name)


def test_another_padding_is_refused():
    with pytest.raises(ValueError, match="padding 'valid' is neither 'symmetric' nor 'same'"):
        shapes_of(Nima(padding="valid"), images(1))


def test_training_drops_pooled_numbers_and_moves_the_statistics(tiny):
    """They move by 1 %, as in Keras. A masked image does not count."""
    network, variables = tiny
    mask = np.array([True, False, True])

    @jax.jit
    def train(x, key):
        return network.apply(variables, x, train=True, mask=mask, rngs={"dropout": key}, mutable=["batch_stats"])

    (votes, out), moved = train(images(3), jax.random.key(0))
    (other, _), _ = train(images(3), jax.random.key(1))
    (_, again), moved_again = train(images(3).at[1].set(5.0), jax.random.key(0))
    assert not np.allclose(votes, other)
    np.testing.assert_allclose(out["pooled"][mask], again["pooled"][mask], rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), moved, moved_again)
    first = np.asarray(jax.lax.conv(jnp.moveaxis(images(3), 3, 1)[mask],
                                    variables["params"]["conv1"]["kernel"].transpose(3, 2, 0, 1), (2, 2),
                                    [(1, 1), (1, 1)]))  # fmt: skip
    expected = 0.99 * variables["batch_stats"]["conv1_bn"]["mean"] + 0.01 * first.mean((0, 2, 3))
    np.testing.assert_allclose(moved["batch_stats"]["conv1_bn"]["mean"], expected, rtol=1e-4)


@pytest.mark.parametrize(("network", "wide"), [(Nima(**TINY), "pw3"), (NimaVGG(**VGG), "features")])
def test_bfloat16_keeps_variables_and_votes_in_float32(network, wide):
    half = network.clone(dtype=jnp.bfloat16)
    (votes, out), own = jax.eval_shape(
        lambda key: half.init_with_output(key, images(1), train=False), jax.random.key(0)
    )
    assert out[wide].dtype == jnp.bfloat16
    assert {votes.dtype, out["logits"].dtype} | {leaf.dtype for leaf in jax.tree.leaves(own)} == {np.dtype("float32")}


@pytest.mark.parametrize("prefix", ["", "module.", "features.module."])
def test_vgg_against_a_slow_one(prefix):
    """The linear layer reads the map in the order C, H, W. After training on several GPUs, files have other names."""
    shapes = {"features.0": (3, 3, 3, 3), "features.2": (4, 3, 3, 3), "features.5": (5, 4, 3, 3),
              "classifier.1": (6, 5 * 2 * 3)}  # fmt: skip
    tensors = {f"{name}.weight": recipe.tensor(f"{name}.weight", shape, gain=1.4) for name, shape in shapes.items()}
    tensors |= {f"{name}.bias": recipe.tensor(f"{name}.bias", shape[:1]) for name, shape in shapes.items()}
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 13))  # the last column of 13 is pooled with nothing, and lost

    def convolution(x, name):
        return np.maximum(convolved(x, tensors[f"{name}.weight"]) + tensors[f"{name}.bias"][:, None, None], 0)

    def halved(x):
        return sliding_window_view(x, (2, 2), (2, 3))[:, :, ::2, ::2].max((-2, -1))

    features = halved(convolution(halved(convolution(convolution(x, "features.0"), "features.2")), "features.5"))
    assert features.shape == (2, 5, 2, 3)
    logits = features.reshape(2, -1) @ tensors["classifier.1.weight"].T + tensors["classifier.1.bias"]

    network, images = NimaVGG(**VGG), x.transpose(0, 2, 3, 1).astype(np.float32)
    given = {f"{prefix}{name}" if prefix == "module." else name.replace("features.", prefix or "features."): tensor
             for name, tensor in tensors.items()}  # fmt: skip
    variables = weights.from_state_dict(VGG_KEYS, given, shapes_of(network, images))
    votes, out = jax.jit(lambda v, x: network.apply(v, x, train=False))(variables, images)
    np.testing.assert_allclose(out["features"], features.transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out["logits"], logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(votes, np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), rtol=1e-4)


# Scores and losses


def test_mean_and_deviation_by_hand():
    votes = jnp.array([[0.1] * 10, [0] * 9 + [1], [0.5] + [0] * 8 + [0.5]])
    np.testing.assert_allclose(mean_score(votes), [5.5, 10, 5.5], rtol=1e-6)
    np.testing.assert_allclose(deviation(votes), [8.25**0.5, 0, 4.5], rtol=1e-6, atol=1e-6)


def test_the_distance_by_hand():
    """If all votes are 9 steps away, 9 of 10 cumulative sums differ by 1; for one step, one of them."""
    target = jnp.eye(10)[jnp.array([0, 0, 3])]
    estimate = jnp.eye(10)[jnp.array([9, 1, 3])]
    np.testing.assert_allclose(emd_squared(target, estimate), [0.9, 0.1, 0], rtol=1e-6)
    np.testing.assert_allclose(emd(target, estimate), [0.9**0.5, 0.1**0.5, 0], rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(emd(estimate, target), emd(target, estimate))


def test_the_roots_gradient_is_finite_where_the_two_are_equal():
    votes = jnp.full((2, 10), 0.1)
    assert np.isfinite(jax.grad(lambda x: emd(votes, x).sum())(votes)).all()


def test_the_fixture_of_the_released_graph_has_the_default_sizes(request):
    folder = request.config.rootpath / "tests/golden/nima"
    fields = parity.fields(Fixture(folder).manifest)
    assert fields == {name: getattr(Nima(), name) for name in fields}
