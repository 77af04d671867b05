"""MUSIQ on a tiny instance: padding, masks, batches, layers against slow ones, names, other fixtures (parity:
test_verify.py)."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from third_party_ports.checkpoints import zoo
from third_party_ports.checkpoints.conversion import convert
from third_party_ports.checkpoints.weights import WeightsError, load
from third_party_ports.parity import check, recipe
from third_party_ports.parity import musiq as parity
from third_party_ports.parity.images import stored_names
from third_party_ports.peers import musiq
from third_party_ports.peers.musiq import KEYS, MUSIQ, TRUNK_KEYS, Bottleneck, StandardisedConv, score
from third_party_ports.peers.musiq_patches import Layout, Tokens, batch, resize, resized_size, scaled, sequence

LAYOUT = Layout((16, 24), patch=8, grid=4)
TINY = {"outputs": 5, "width": 12, "layers": 2, "heads": 3, "hidden": 10, "grid": 4, "patch": 8, "stem": 8, "groups": 4}


def photo(height: int, width: int, seed: int = 0) -> Tokens:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return sequence(image, LAYOUT)


def official(classes: int = 5, scales: int = 3, grid: int = 4, width: int = 12) -> list[list]:
    """Returns names and shapes of the tiny network's file, named as in the published ones."""
    p = "opt/target/"
    list_ = [
        [f"{p}conv_root/kernel", [7, 7, 3, 8]],
        [f"{p}embedding/kernel", [128, width]],
        [f"{p}embedding/bias", [width]],
    ]
    units = {"1": (1, 8, 8), "2": (3, 8, 8), "3": (1, 8, 32), "_proj": (1, 8, 32)}
    for name, (side, inputs, outputs) in units.items():
        list_.append([f"{p}block1/unit1/conv{name}/kernel", [side, side, inputs, outputs]])
    norms = {"gn_root": 8} | {f"block1/unit1/gn{name}": channels for name, (_, _, channels) in units.items()}
    list_ += [[f"{p}{name}/{leaf}", [1, 1, 1, size]] for name, size in norms.items() for leaf in ("scale", "bias")]
    t = f"{p}Transformer/"
    list_ += [[f"{t}posembed_input/pos_embedding", [1, grid**2, width]], [f"{t}cls", [1, 1, width]],
              [f"{t}scaleembed_input/scale_embedding", [1, scales, width]]]  # fmt: skip
    for i in range(2):
        b = f"{t}encoderblock_{i}/"
        list_ += [
            [f"{b}{norm}/{leaf}", [width]] for norm in ("LayerNorm_0", "LayerNorm_2") for leaf in ("scale", "bias")
        ]
        a = f"{b}MultiHeadDotProductAttention_1/"
        for name in ("query", "key", "value"):
            list_ += [[f"{a}{name}/kernel", [width, 3, width // 3]], [f"{a}{name}/bias", [3, width // 3]]]
        list_ += [[f"{a}out/kernel", [3, width // 3, width]], [f"{a}out/bias", [width]]]
        list_ += [[f"{b}MlpBlock_3/Dense_0/kernel", [width, 10]], [f"{b}MlpBlock_3/Dense_0/bias", [10]]]
        list_ += [[f"{b}MlpBlock_3/Dense_1/kernel", [10, width]], [f"{b}MlpBlock_3/Dense_1/bias", [width]]]
    list_ += [[f"{t}encoder_norm/{leaf}", [width]] for leaf in ("scale", "bias")]
    list_ += [[f"{p}head/kernel", [width, classes]], [f"{p}head/bias", [classes]]]
    return [[*entry, "float32"] for entry in list_]


def manifest(**changes) -> dict:
    return {"seed": 4, "gain": 1.5, "tensors": official(**changes)}


def shapes(**fields):
    return jax.eval_shape(MUSIQ(**TINY | fields).init, jax.random.key(0), *batch([photo(9, 9)]))


def npz(folder, **changes):
    parity.write(folder / "ava_ckpt.npz", recipe.state_dict(manifest(**changes)))
    return folder / "ava_ckpt.npz"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Returns the compiled network, and variables from a file."""
    folder = tmp_path_factory.mktemp("musiq")
    convert(npz(folder), folder / "a.safetensors", KEYS, shapes())
    return jax.jit(MUSIQ(**TINY).apply), load(folder / "a.safetensors", KEYS, shapes())


def test_padded_photos_of_different_sizes_give_the_same_as_alone(tiny):
    """And the values in the padding do not matter."""
    apply, variables = tiny
    photos = [photo(19, 30), photo(33, 9), photo(8, 8)]
    together = batch(photos, 40)
    logits, cls, out = apply(variables, *together)
    assert logits.shape == (3, 5)
    assert cls.shape == (3, 12)
    assert out["conv_root"].shape == (3, 40, 4, 4, 8)
    assert out["root_pool"].shape == (3, 40, 2, 2, 8)
    assert out["block1"].shape == (3, 40, 2, 2, 32)
    assert out["embedding"].shape == (3, 40, 12)
    assert {"tokens_in", "block_0", "block_1", "encoded"} < set(out)
    assert out["encoded"].shape == (3, 41, 12)
    for i, one in enumerate(photos):
        alone, own, _ = apply(variables, *batch([one]))
        np.testing.assert_allclose(logits[i], alone[0], rtol=1e-4, atol=2e-5)
        np.testing.assert_allclose(cls[i], own[0], rtol=1e-4, atol=2e-5)
    noise = np.random.default_rng(1).normal(size=together.patches.shape).astype(np.float32)
    spoilt = together._replace(patches=np.where(together.mask[..., None], together.patches, noise))
    np.testing.assert_allclose(apply(variables, *spoilt)[0], logits, rtol=1e-4, atol=2e-5)
    unmasked = together._replace(mask=np.ones_like(together.mask))
    assert np.abs(apply(variables, *unmasked)[0] - logits).max() > 1e-2


def test_only_places_and_scales_give_the_order(tiny):
    apply, variables = tiny
    together = batch([photo(19, 30)])
    order = np.random.default_rng(0).permutation(together.mask.shape[1])
    mixed = Tokens(*(value[:, order] for value in together))
    logits = apply(variables, *together)[0]
    np.testing.assert_allclose(apply(variables, *mixed)[0], logits, rtol=1e-4, atol=2e-5)
    for name in ("spatial", "scale"):
        moved = together._replace(**{name: getattr(together, name)[:, ::-1]})
        assert np.abs(apply(variables, *moved)[0] - logits).max() > 1e-3


def test_a_conv_of_stride_2_pads_one_more_at_the_end():
    """And its kernel is standardised over all axes but the outputs."""
    conv = StandardisedConv(2, 7, 2, jnp.float32)
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(1, 8, 8, 3)).astype(np.float32), rng.normal(size=(7, 7, 3, 2))
    found = conv.apply({"params": {"kernel": kernel.astype(np.float32)}}, x)
    mean, std = kernel.reshape(-1, 2).mean(0), kernel.reshape(-1, 2).std(0)
    kernel = (kernel - mean) / (std + 1e-5)
    framed = np.pad(x[0], ((2, 3), (2, 3), (0, 0)))
    for i in range(4):
        for j in range(4):
            window = framed[2 * i : 2 * i + 7, 2 * j : 2 * j + 7]
            np.testing.assert_allclose(found[0, i, j], np.einsum("ijc,ijco->o", window, kernel), rtol=1e-4, atol=1e-4)


def test_a_constant_kernel_becomes_zero():
    conv = StandardisedConv(2, 1, 1, jnp.float32)
    params = {"kernel": np.full((1, 1, 3, 2), 0.5, np.float32)}
    assert not conv.apply({"params": params}, np.ones((1, 2, 2, 3), np.float32)).any()


def test_bottleneck_against_loops():
    unit = Bottleneck(4, 2, jnp.float32)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 3, 4)).astype(np.float32)
    variables = jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), jax.eval_shape(unit.init, jax.random.key(0), x)
    )
    p = variables["params"]

    def conv(x, name):
        kernel = p[f"conv{name}"]["kernel"].astype(np.float64)
        kernel = (kernel - kernel.mean((0, 1, 2))) / (kernel.std((0, 1, 2)) + 1e-5)
        if kernel.shape[0] == 1:
            return x @ kernel[0, 0]
        framed = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return sum(framed[:, i : i + 3, j : j + 3] @ kernel[i, j] for i in range(3) for j in range(3))

    def norm(x, name):
        groups = x.reshape(2, 9, 2, -1)  # neighbouring channels share a group
        groups = groups - groups.mean((1, 3), keepdims=True)
        groups = groups / np.sqrt((groups**2).mean((1, 3), keepdims=True) + 1e-4)
        return groups.reshape(x.shape) * p[f"gn{name}"]["scale"] + p[f"gn{name}"]["bias"]

    y = np.maximum(norm(conv(x.astype(np.float64), "1"), "1"), 0)
    y = np.maximum(norm(conv(y, "2"), "2"), 0)
    expected = np.maximum(norm(conv(y, "3"), "3") + norm(conv(x.astype(np.float64), "_proj"), "_proj"), 0)
    np.testing.assert_allclose(jax.jit(unit.apply)(variables, x), expected, rtol=1e-3, atol=1e-3)


def test_score_by_hand():
    np.testing.assert_allclose(score(jnp.log(jnp.array([[0.25, 0.5, 0.25], [1.0, 1e-9, 1e-9]]))), [2, 1], rtol=1e-5)
    assert score(jnp.zeros(10)).item() == pytest.approx(5.5)
    assert score(jnp.array([[-3.0], [71.5]])).tolist() == [-3, 71.5]


def test_without_a_head(tmp_path):
    """Files of another task still load, and give CLS."""
    done = convert(npz(tmp_path, classes=9), tmp_path / "a.safetensors", TRUNK_KEYS, shapes(outputs=0))
    assert done.ignored == 2
    variables = load(tmp_path / "a.safetensors", TRUNK_KEYS, shapes(outputs=0))
    assert "head" not in variables["params"]
    logits, cls, _ = jax.eval_shape(MUSIQ(**TINY | {"outputs": 0}).apply, variables, *batch([photo(9, 9)]))
    assert (logits.shape, cls.shape) == ((1, 0), (1, 12))
    with pytest.raises(WeightsError, match=r"misshapen: head\.kernel \(gives \(12, 9\)"):
        convert(npz(tmp_path, classes=9), tmp_path / "b.safetensors", KEYS, shapes())


def test_the_single_scale_files_fit_only_one_scale(tmp_path):
    convert(npz(tmp_path, scales=1), tmp_path / "a.safetensors", KEYS, shapes(scales=1))
    with pytest.raises(WeightsError, match=r"scale_embedding \(gives \(1, 1, 12\), \(1, 3, 12\) is needed"):
        convert(npz(tmp_path, scales=1), tmp_path / "b.safetensors", KEYS, shapes())
    from third_party_ports.checkpoints.identify import looks_like

    single = {"opt.target.Transformer.scaleembed_input.scale_embedding": np.zeros((1, 1, 384), np.float32)}
    assert looks_like(single).startswith("MUSIQ at one scale")


def test_missing_and_extra_names_are_listed(tmp_path):
    tensors = recipe.state_dict(manifest())
    del tensors["opt/target/Transformer/encoderblock_1/MlpBlock_3/Dense_0/bias"]
    parity.write(tmp_path / "a.npz", tensors | {"opt/target/pre_logits/kernel": np.zeros((2, 2), np.float32)})
    with pytest.raises(WeightsError) as caught:
        convert(tmp_path / "a.npz", tmp_path / "a.safetensors", KEYS, shapes())
    for words in ("1 missing: Transformer.encoderblock_1.Dense_0.bias", "1 extra: pre_logits.kernel"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("official", "canonical"),
    [
        ("block1.unit1.gn_proj.scale", "block1.gn_proj.scale"),
        ("Transformer.posembed_input.pos_embedding", "Transformer.pos_embedding"),
        ("Transformer.scaleembed_input.scale_embedding", "Transformer.scale_embedding"),
        ("Transformer.encoderblock_13.MlpBlock_3.Dense_1.bias", "Transformer.encoderblock_13.Dense_1.bias"),
        ("head.kernel", "head.kernel"),
    ],
)
def test_names(official, canonical):
    assert KEYS.canonical(official) == canonical
    assert KEYS.canonical(canonical) == canonical
    assert TRUNK_KEYS.canonical(official) == (None if official.startswith("head") else canonical)


def test_the_rows_have_the_layout_of_the_patches():
    for row in (row for row in zoo.CHECKPOINTS.values() if row.module == "third_party_ports.peers.musiq:MUSIQ"):
        network, layout = row.network(), Layout()
        assert (network.scales, network.patch, network.grid) == (layout.scales, layout.patch, layout.grid)


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_variables(tiny):
    apply, variables = tiny
    half, inputs = MUSIQ(**TINY, dtype=jnp.bfloat16), batch([photo(19, 30)])
    (logits, cls, out), own = jax.eval_shape(half.init_with_output, jax.random.key(0), *inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves(own)} == {jnp.dtype("float32")}
    assert {logits.dtype, cls.dtype, out.pop("encoded").dtype} == {jnp.dtype("float32")}
    assert {tap.dtype for tap in out.values()} == {jnp.dtype("bfloat16")}
    full = apply(variables, *inputs)[1]
    assert np.linalg.norm(jax.jit(half.apply)(variables, *inputs)[1] - full) < 0.1 * np.linalg.norm(full)


@pytest.fixture(scope="module")
def other_fixture(tmp_path_factory):
    """A fixture of three photos with other sizes, seed and layout. The answers are the port's own."""
    folder = tmp_path_factory.mktemp("verify") / "musiq_small"
    folder.mkdir()
    config = {"num_classes": 5, "patch": 8, "grid": 4, "longer_sides": [16, 24], "native": True, "hidden": 12,
              "layers": 2, "heads": 3, "mlp": 10, "scales": 3, "groups": 4}  # fmt: skip
    inputs = [{"tag": tag, "name": "small", "shape": [3, *size], "seed": 2}
              for tag, size in (("a", (9, 9)), ("a_b", (19, 30)), ("c", (41, 8)))]  # fmt: skip
    given = manifest() | {"model": "musiq", "prefix": "opt/target/", "config": config, "inputs": inputs}
    (folder / "manifest.json").write_text(json.dumps(given))
    fixture = parity.Fixture(folder)
    tokens = {one["tag"]: sequence(parity.decoded(one), LAYOUT) for one in inputs}
    values = parity.network_values(fixture, tokens)
    for tag, own in tokens.items():
        values |= {f"{tag}_spatial": own.spatial.astype(np.int16), f"{tag}_scale": own.scale.astype(np.int8)}
        values |= {f"{tag}_mask": own.mask, f"tap_{tag}_patches": own.patches}
    for one in inputs:
        image = parity.decoded(one)
        values[f"{one['tag']}_input"] = image
        for side in config["longer_sides"]:
            values[f"{one['tag']}_resized{side}"] = resize(scaled(image), resized_size(image.shape[:2], side))
    np.savez(folder / "io.npz", **values)
    return folder


def test_parity_holds_for_other_fixtures(other_fixture):
    rows = check.verify(other_fixture)
    assert not [row for row in rows if not row.passed], rows
    with np.load(other_fixture / "io.npz") as stored:
        assert len(rows) == len(list(stored_names(stored.files))) == 3 * 18


def test_a_wrong_epsilon_is_seen(other_fixture, monkeypatch):
    monkeypatch.setattr(musiq, "BLOCK_EPSILON", 1e-2)
    jax.clear_caches()  # the compiled network has the right one
    failed = {row.comparison.array for row in check.verify(other_fixture) if not row.passed}
    jax.clear_caches()
    assert {"a_block1", "a_b_block1", "c_cls"} <= failed
    assert not {"a_patches", "a_conv_root", "c_root_pool"} & failed
