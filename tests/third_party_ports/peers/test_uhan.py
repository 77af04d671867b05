"""UHAN on a tiny instance: attention, padding, users, missing text, LSTM against loops, other fixtures (parity:
test_verify.py)."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from third_party_ports.checkpoints.weights import WeightsError, from_state_dict
from third_party_ports.parity import check, recipe
from third_party_ports.peers.uhan import GATES, KEYS, UHAN, forget_at_one

TINY = {"users": 5, "words": 9, "width": 6, "head": (7, 4)}
N, R, C = 3, 8, 10
WORDS = np.array([[0, 0, 3, 9, 1], [0, 0, 0, 0, 7], [2, 2, 5, 8, 4]])
USERS = np.array([0, 4, 2])


def regions(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, R, C)).astype(np.float32)


def official(users: int = 5, words: int = 9, k: int = 6, c: int = C, head=(7, 4)) -> list[list]:
    """Returns names and shapes (out, in), as in the fixture's manifest."""
    shapes = {"user.weight": (users, k), "word.weight": (words + 1, k), "lstm.weight_ih": (4 * k, k)}
    shapes |= {"lstm.weight_hh": (4 * k, k), "lstm.bias": (4 * k,), "region.weight": (k, c)}
    for name in ("att_text", "att_image"):
        shapes |= {f"{name}.{matrix}": (k, k) for matrix in ("wt", "wa", "wb")} | {f"{name}.wh": (1, k)}
    shapes |= {f"merge.{matrix}": (k, k) for matrix in ("w0", "w1", "wu")} | {"merge.wh": (1, k)}
    shapes["user_add.weight"] = (k, k)
    widths = (k, *head, 1)
    for name, inputs, outputs in zip(("fc0", "fc1", "out"), widths, widths[1:], strict=False):
        shapes |= {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
    return [[name, list(shape), "float32"] for name, shape in shapes.items()]


MANIFEST = {"seed": 6, "gain": 2.0, "tensors": official()}


@pytest.fixture(scope="module")
def tiny():
    """Returns the compiled network, and variables from arrays with the official names."""
    network = UHAN(**TINY)
    shapes = jax.eval_shape(network.init, jax.random.key(0), regions(), WORDS, USERS)
    return jax.jit(network.apply), from_state_dict(KEYS, recipe.state_dict(MANIFEST), shapes)


def same(ours, others) -> None:
    np.testing.assert_allclose(ours, others, rtol=1e-4, atol=1e-5)


def test_shapes_and_weights(tiny):
    apply, variables = tiny
    z, out = apply(variables, regions(), WORDS, USERS)
    assert z.shape == (N,)
    assert {name: tap.shape for name, tap in out.items()} == {
        "word_states": (N, 5, 6), "text_weights": (N, 5), "image_weights": (N, R), "modality_weights": (N, 2),
        **dict.fromkeys(("text_mean", "image_mean", "text_attended", "image_attended", "merged", "joint"), (N, 6)),
    }  # fmt: skip
    for name in ("text_weights", "image_weights", "modality_weights"):
        np.testing.assert_allclose(out[name].sum(1), 1, rtol=1e-6)
        assert (np.asarray(out[name]) >= 0).all()
    np.testing.assert_array_equal(np.asarray(out["text_weights"]) > 0, WORDS > 0)
    np.testing.assert_array_equal(np.asarray(out["word_states"]).any(-1), WORDS > 0)


def test_against_loops(tiny):
    """The whole network in float64, one post, word and region at a time."""
    apply, variables = tiny
    w = {name: tensor.astype(np.float64) for name, tensor in recipe.state_dict(MANIFEST).items()}

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def softmax(x):
        return np.exp(x) / np.exp(x).sum()

    def attended(name, x, other, user):
        guide = np.tanh(w[f"{name}.wa"] @ other) * np.tanh(w[f"{name}.wb"] @ user)
        weights = softmax([(w[f"{name}.wh"] @ (np.tanh(w[f"{name}.wt"] @ one) * guide))[0] for one in x])
        return sum(a * one for a, one in zip(weights, x, strict=True))

    z, _ = apply(variables, regions(), WORDS, USERS)
    for n in range(N):
        u = w["user.weight"][USERS[n]]
        h, c, t = np.zeros(6), np.zeros(6), []
        for word in WORDS[n][WORDS[n] > 0]:
            gates = w["lstm.weight_ih"] @ w["word.weight"][word] + w["lstm.weight_hh"] @ h + w["lstm.bias"]
            i, f, g, o = gates.reshape(4, 6)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            t.append(h)
        v = [np.tanh(w["region.weight"] @ region) for region in regions()[n].astype(np.float64)]
        text = attended("att_text", t, np.mean(v, 0), u)
        image = attended("att_image", v, np.mean(t, 0), u)
        guide = np.tanh(w["merge.wu"] @ u)
        pair = [np.tanh(w["merge.w0"] @ text) * guide, np.tanh(w["merge.w1"] @ image) * guide]
        b = softmax([(w["merge.wh"] @ one)[0] for one in pair])
        x = b[0] * text + b[1] * image + w["user_add.weight"] @ u
        for layer in ("fc0", "fc1"):
            x = np.maximum(w[f"{layer}.weight"] @ x + w[f"{layer}.bias"], 0)
        same(z[n], (w["out.weight"] @ x + w["out.bias"])[0])


def test_the_order_of_regions_does_not_matter_and_that_of_words_does(tiny):
    apply, variables = tiny
    z, out = apply(variables, regions(), WORDS, USERS)
    order = np.random.default_rng(1).permutation(R)
    moved, taps = apply(variables, regions()[:, order], WORDS, USERS)
    same(moved, z)
    same(taps["image_weights"], out["image_weights"][:, order])
    backwards = WORDS.copy()
    backwards[2] = WORDS[2, ::-1]
    other = apply(variables, regions(), backwards, USERS)[0]
    same(other[:2], z[:2])
    assert abs(other[2] - z[2]) > 1e-4


def test_more_padding_in_front_changes_nothing(tiny):
    apply, variables = tiny
    z, out = apply(variables, regions(), WORDS, USERS)
    more, taps = apply(variables, regions(), np.pad(WORDS, ((0, 0), (4, 0))), USERS)
    same(more, z)
    same(taps["word_states"][:, 4:], out["word_states"])
    same(taps["text_weights"], np.pad(out["text_weights"], ((0, 0), (4, 0))))
    spoilt = jax.tree.map(np.copy, variables)
    spoilt["params"]["word"]["embedding"][0] = 100  # padding's row is never read
    same(apply(spoilt, regions(), WORDS, USERS)[0], z)


def test_posts_do_not_depend_on_their_batch_and_users_differ(tiny):
    apply, variables = tiny
    z, out = apply(variables, regions(), WORDS, USERS)
    other, taps = apply(variables, regions(), WORDS, np.array([0, 4, 3]))
    same(other[:2], z[:2])
    assert abs(other[2] - z[2]) > 1e-3
    for name in ("text_weights", "image_weights", "modality_weights"):
        assert np.abs(taps[name][2] - out[name][2]).max() > 1e-4


def test_missing_text_leaves_the_image_alone(tiny):
    """The image has weight 1, no text guides it, other posts' texts do not matter, and gradients are finite."""
    apply, variables = tiny
    words = WORDS.copy()
    words[1] = 0
    z, out = apply(variables, regions(), words, USERS)
    same(np.delete(z, 1), np.delete(apply(variables, regions(), WORDS, USERS)[0], 1))
    np.testing.assert_array_equal(out["modality_weights"][1], [0, 1])
    assert not np.asarray(out["text_weights"][1]).any()
    np.testing.assert_array_equal(out["merged"][1], out["image_attended"][1])
    np.testing.assert_allclose(out["image_weights"][1].sum(), 1, rtol=1e-6)

    p = variables["params"]
    u, v = p["user"]["embedding"][4], np.tanh(regions()[1] @ p["region"]["kernel"])
    guided = np.tanh(v @ p["att_image"]["wt"]["kernel"]) * np.tanh(u @ p["att_image"]["wb"]["kernel"])
    weights = np.exp(guided @ p["att_image"]["wh"]["kernel"])[:, 0]
    same(out["image_weights"][1], weights / weights.sum())
    assert np.ptp(weights) > 1e-3

    gradient = jax.jit(jax.grad(lambda p: apply({"params": p}, regions()[1:2], words[1:2], USERS[1:2])[0][0]))(p)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    for name in ("word", "lstm", "lstm_input", "att_text"):
        assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(gradient[name]))
    assert np.asarray(gradient["att_image"]["wt"]["kernel"]).any()
    assert not np.asarray(gradient["att_image"]["wa"]["kernel"]).any()


def test_hard_sigmoid_by_hand():
    """Keras' slope of a fifth."""
    found = GATES["hard_sigmoid"](jnp.array([-3.0, -2.5, -1, 0, 1, 2.5, 3]))
    np.testing.assert_allclose(found, [0, 0, 0.3, 0.5, 0.7, 1, 1], rtol=1e-6)


def test_hard_gates_are_another_network(tiny):
    apply, variables = tiny
    hard = jax.jit(UHAN(**TINY, gates="hard_sigmoid").apply)(variables, regions(), WORDS, USERS)[0]
    difference = np.abs(hard - apply(variables, regions(), WORDS, USERS)[0])
    assert 1e-5 < difference.max() < 1


def test_the_forget_gates_bias_starts_at_one():
    assert forget_at_one(jax.random.key(0), (8,)).tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


def test_any_grid_of_regions(tiny):
    """The number of regions is free; their width is fixed."""
    apply, variables = tiny
    assert apply(variables, regions()[:, :3], WORDS, USERS)[1]["image_weights"].shape == (N, 3)
    wide = {"region.weight": np.zeros((6, 11), np.float32)}
    shapes = jax.eval_shape(UHAN(**TINY).init, jax.random.key(0), regions(), WORDS, USERS)
    with pytest.raises(WeightsError, match=r"region\.weight \(gives \(11, 6\), \(10, 6\) is needed"):
        from_state_dict(KEYS, recipe.state_dict(MANIFEST) | wide, shapes)


@pytest.mark.parametrize(
    ("official", "canonical"),
    [
        ("lstm.weight_ih", "lstm_input.weight"),
        ("lstm.bias", "lstm_input.bias"),
        ("lstm.weight_hh", "lstm.hidden.weight"),
        ("att_image.wh", "att_image.wh.weight"),
        ("merge.w0", "merge.w0.weight"),
        ("user_add.weight", "user_add.weight"),
    ],
)
def test_names(official, canonical):
    assert KEYS.canonical(official) == canonical
    assert KEYS.canonical(canonical) == canonical


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_variables(tiny):
    apply, variables = tiny
    half = UHAN(**TINY, dtype=jnp.bfloat16)
    (z, out), own = jax.eval_shape(half.init_with_output, jax.random.key(0), regions(), WORDS, USERS)
    assert {leaf.dtype for leaf in jax.tree.leaves(own)} == {jnp.dtype("float32")}
    assert z.dtype == jnp.float32
    for name, tap in out.items():
        assert tap.dtype == (jnp.float32 if name.endswith("_weights") else jnp.bfloat16), name
    full = apply(variables, regions(), WORDS, USERS)[0]
    assert np.abs(jax.jit(half.apply)(variables, regions(), WORDS, USERS)[0] - full).max() < 0.1


def test_parity_holds_for_other_fixtures(tmp_path):
    """Two posts, five regions, other widths and seeds. The answers are the port's own; one value is spoilt."""
    config = {"users": 4, "words": 6, "width": 8, "fc": [5, 3]}
    photo = {"name": "other", "shape": [2, 5, 9], "seed": 3}
    manifest = {"model": "uhan", "seed": 2, "gain": 1.5, "config": config, "input": photo}
    manifest["tensors"] = official(4, 6, 8, 9, (5, 3))
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    inputs = recipe.image("other", (2, 5, 9), 3), np.array([[0, 4, 6], [1, 1, 3]], np.int32), np.array([3, 0], np.int32)
    network = UHAN(4, 6, 8, (5, 3))
    shapes = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    variables = from_state_dict(KEYS, recipe.state_dict(manifest), shapes)
    z, out = jax.jit(network.apply)(variables, *inputs)
    hard = jax.jit(network.clone(gates="hard_sigmoid").apply)(variables, *inputs)[0]
    answers = {**out, "z": z, "z_hard_sigmoid": hard + 1, "words": inputs[1], "user": inputs[2]}
    np.savez(tmp_path / "io.npz", **answers)
    rows = check.verify(tmp_path)
    assert len(rows) == 14
    assert [row.comparison.array for row in rows if not row.passed] == ["z_hard_sigmoid"]
