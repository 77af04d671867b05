"""Tests of M2 Transformer: plain float64 formulas, cached steps, padding, the caption vector, names of weights."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from third_party_ports.checkpoints.weights import WeightsError, from_state_dict
from third_party_ports.m2_transformer.layers import check_projection
from third_party_ports.m2_transformer.network import KEYS, M2Transformer, caption_vector

TINY = M2Transformer(11, 16, heads=4, layers=2, memories=3, hidden=24, positions=9)
FEATURES = 6
PAD = TINY.pad
WORDS = np.array([[2, 4, 7, PAD, 9, 3, PAD], [2, 10, 10, 0, 5, 6, 7]])


def official_shapes(net: M2Transformer) -> dict[str, tuple[int, ...]]:
    """Returns the published file's keys."""
    shapes, d = {}, net.width

    def linear(name, outputs, inputs):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs), (outputs,)

    def norm(name):
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (d,)

    def attention(name):
        for part in "qkvo":
            linear(f"{name}.attention.fc_{part}", d, d)
        norm(f"{name}.layer_norm")

    def feed_forward(name):
        linear(f"{name}.fc1", net.hidden, d)
        linear(f"{name}.fc2", d, net.hidden)
        norm(f"{name}.layer_norm")

    linear("encoder.fc", d, FEATURES)
    norm("encoder.layer_norm")
    for i in range(net.layers):
        attention(f"encoder.layers.{i}.mhatt")
        shapes |= {f"encoder.layers.{i}.mhatt.attention.m_{part}": (1, net.memories, d) for part in "kv"}
        feed_forward(f"encoder.layers.{i}.pwff")
        attention(f"decoder.layers.{i}.self_att")
        attention(f"decoder.layers.{i}.enc_att")
        for level in range(net.layers):
            linear(f"decoder.layers.{i}.fc_alpha{level + 1}", d, 2 * d)
        feed_forward(f"decoder.layers.{i}.pwff")
    shapes["decoder.word_emb.weight"] = shapes["decoder.fc.weight"] = (net.vocabulary, d)
    shapes["decoder.pos_emb.weight"] = (net.positions, d)
    return shapes


def official(net: M2Transformer = TINY) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(0.1, 0.5, shape).astype(np.float32) for name, shape in official_shapes(net).items()}


def loaded(tensors: dict[str, np.ndarray], net: M2Transformer = TINY) -> dict:
    return from_state_dict(KEYS, tensors, jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 1, FEATURES))))


VARIABLES = loaded(official())
REGIONS = np.abs(np.random.default_rng(1).normal(size=(2, 5, FEATURES))).astype(np.float32)
REGIONS[0, 3:] = 0
VALID = np.array([3, 5])
whole = jax.jit(TINY.apply)
masked = jax.jit(replace(TINY, mask_padding=True).apply)
encode = jax.jit(partial(TINY.apply, method="encode"))
decode = jax.jit(partial(TINY.apply, method="decode"))


class Plain:
    """Runs one image and one sequence in float64, formula by formula."""

    def __init__(self, tensors, net):
        self.t = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
        self.net = net

    def linear(self, name, x):
        return x @ self.t[f"{name}.weight"].T + self.t.get(f"{name}.bias", 0)

    def norm(self, name, x):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * self.t[f"{name}.weight"] + self.t[f"{name}.bias"]

    def attention(self, name, x, source, hidden=()):
        """`hidden`: (query, key) pairs that do not see each other."""
        q, k, v = (self.linear(f"{name}.attention.fc_{p}", s) for p, s in zip("qkv", (x, source, source), strict=True))
        size = self.net.width // self.net.heads
        if f"{name}.attention.m_k" in self.t:
            k = np.concatenate([k, size**0.5 * self.t[f"{name}.attention.m_k"][0]])
            v = np.concatenate([v, self.net.memories**0.5 * self.t[f"{name}.attention.m_v"][0]])
        heads = []
        for h in range(self.net.heads):
            block = slice(h * size, (h + 1) * size)
            scores = q[:, block] @ k[:, block].T / size**0.5
            for pair in hidden:
                scores[pair] = -np.inf
            scores = np.exp(scores - scores.max(1, keepdims=True))
            heads.append(scores / scores.sum(1, keepdims=True) @ v[:, block])
        y = self.linear(f"{name}.attention.fc_o", np.concatenate(heads, 1))
        return self.norm(f"{name}.layer_norm", x + y)

    def feed_forward(self, name, x):
        y = self.linear(f"{name}.fc2", np.maximum(self.linear(f"{name}.fc1", x), 0))
        return self.norm(f"{name}.layer_norm", x + y)

    def encode(self, regions, masked=()):
        """Returns the projection, then each level. No query sees the rows in `masked`."""
        x = self.norm("encoder.layer_norm", np.maximum(self.linear("encoder.fc", regions.astype(np.float64)), 0))
        steps = [x]
        hidden = [(q, k) for q in range(len(x)) for k in masked]
        for i in range(self.net.layers):
            x = self.attention(f"encoder.layers.{i}.mhatt", x, x, hidden)
            steps.append(x := self.feed_forward(f"encoder.layers.{i}.pwff", x))
        return steps

    def decode(self, words, levels, masked=()):
        """Returns the output of each layer, then the log-probabilities."""
        x = self.t["decoder.word_emb.weight"][words] + self.t["decoder.pos_emb.weight"][1 : len(words) + 1]
        real = (words != self.net.pad)[:, None]
        unseen = [(q, k) for q in range(len(words)) for k in range(len(words)) if k > q or not real[k]]
        hidden = [(q, k) for q in range(len(words)) for k in masked]
        steps = []
        for i in range(self.net.layers):
            name = f"decoder.layers.{i}"
            s = real * self.attention(f"{name}.self_att", x, x, unseen)
            total = 0
            for n, level in enumerate(levels):
                c = real * self.attention(f"{name}.enc_att", s, level, hidden)
                gate = 1 / (1 + np.exp(-self.linear(f"{name}.fc_alpha{n + 1}", np.concatenate([s, c], 1))))
                total = total + gate * c
            x = real * self.feed_forward(f"{name}.pwff", total / len(levels) ** 0.5)
            steps.append(x)
        logits = self.linear("decoder.fc", x)
        steps.append(logits - np.log(np.exp(logits).sum(1, keepdims=True)))
        return steps


@pytest.mark.parametrize("masking", [False, True])
def test_equals_the_plain_formulas(masking):
    """Also with zero rows and pads. Neither regions nor words see masked zero rows."""
    apply = masked if masking else whole
    levels, logprobs, out = apply(VARIABLES, REGIONS, WORDS, VALID)
    plain = Plain(official(), TINY)
    for n in range(2):
        hidden = range(VALID[n], 5) if masking else ()
        projection, *expected = plain.encode(REGIONS[n], hidden)
        *layers, last = plain.decode(WORDS[n], expected, hidden)
        near = partial(np.testing.assert_allclose, rtol=1e-4, atol=2e-5)
        near(out["projection"][n], projection)
        near(levels[n], expected)
        near([out[f"encoder_layer{i}"][n] for i in range(2)], expected)
        near([out[f"decoder_layer{i}"][n] for i in range(2)], layers)
        near(logprobs[n], last)


def test_masked_rows_equal_a_run_without_them():
    levels, logprobs, _ = masked(VARIABLES, REGIONS, WORDS, VALID)
    plain = Plain(official(), TINY)
    alone = np.array(plain.encode(REGIONS[0, :3])[1:])
    np.testing.assert_allclose(levels[0, :, :3], alone, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(logprobs[0], plain.decode(WORDS[0], alone)[-1], rtol=1e-4, atol=2e-5)
    seen = encode(VARIABLES, REGIONS)  # without the mask, zero rows count
    assert np.abs(seen[0, :, :3] - alone).max() > 0.05


def test_step_by_step_equals_the_whole_sequence():
    """With two rows per image: each reads its own words and its own image."""
    levels = encode(VARIABLES, REGIONS)
    words = np.stack([WORDS, WORDS[::-1]], 1)  # [B, 2, T]
    expected = np.stack([decode(VARIABLES, words[:, k], levels) for k in range(2)], 1).reshape(4, 7, -1)
    context = jax.jit(partial(TINY.apply, method="context"))(VARIABLES, levels)
    step = jax.jit(partial(TINY.apply, method="step"))
    cache = TINY.empty_cache(4, 8)  # with room for more words
    for t in range(7):
        logprobs, cache = step(VARIABLES, words.reshape(4, 7)[:, t], t, cache, context)
        np.testing.assert_allclose(logprobs, expected[:, t], rtol=1e-4, atol=1e-5)


def test_regions_have_no_order():
    order = np.array([2, 0, 4, 1, 3])
    levels, shuffled = encode(VARIABLES, REGIONS), encode(VARIABLES, REGIONS[:, order])
    np.testing.assert_allclose(shuffled, levels[:, :, order], rtol=1e-4, atol=1e-5)
    assert np.abs(shuffled - levels).max() > 0.1


def test_images_do_not_influence_one_another():
    levels, logprobs, _ = whole(VARIABLES, REGIONS, WORDS)
    swapped = whole(VARIABLES, REGIONS[::-1], WORDS[::-1])
    np.testing.assert_allclose(swapped[0][::-1], levels, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(swapped[1][::-1], logprobs, rtol=1e-5, atol=1e-5)


def test_pads_are_uniform_and_unseen_and_no_word_sees_later_ones():
    levels = encode(VARIABLES, REGIONS)
    logprobs = np.asarray(decode(VARIABLES, WORDS, levels))
    np.testing.assert_allclose(logprobs[WORDS == PAD], -np.log(11), rtol=1e-6)
    np.testing.assert_allclose(np.exp(logprobs).sum(-1), 1, rtol=1e-5)
    later = WORDS.copy()
    later[:, 5:] = 8
    np.testing.assert_array_equal(decode(VARIABLES, later, levels)[:, :5], logprobs[:, :5])
    other = jax.tree.map(np.array, VARIABLES)
    other["params"]["decoder"]["word_emb"]["embedding"][PAD] += 5
    np.testing.assert_array_equal(decode(other, WORDS, levels), logprobs)


def test_the_caption_vector_by_hand():
    """The mean of the first rows of the last level, as a unit vector; zeros without regions."""
    levels = np.zeros((3, 2, 3, 2), np.float32)
    levels[:, 0] = 9
    levels[:, 1] = [[6, 0], [0, 8], [50, 50]]
    np.testing.assert_allclose(caption_vector(levels, np.array([2, 1, 0])), [[0.6, 0.8], [1, 0], [0, 0]], rtol=1e-6)
    half = caption_vector(jnp.asarray(levels, jnp.bfloat16), np.array([2, 1, 0]))
    assert half.dtype == jnp.float32


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters():
    half = replace(TINY, dtype=jnp.bfloat16)
    own = jax.eval_shape(half.init, jax.random.key(0), REGIONS)
    assert {leaf.dtype for leaf in jax.tree.leaves(own)} == {jnp.dtype("float32")}
    levels, logprobs, out = jax.jit(half.apply)(VARIABLES, REGIONS, WORDS)
    assert {tap.dtype for tap in out.values()} == {jnp.dtype("bfloat16")}
    assert logprobs.dtype == jnp.float32 and half.empty_cache(1, 4).keys.dtype == jnp.bfloat16
    full = whole(VARIABLES, REGIONS, WORDS)
    assert np.linalg.norm(levels - full[0]) < 0.05 * np.linalg.norm(full[0])
    assert np.linalg.norm(logprobs - full[1]) < 0.05 * np.linalg.norm(full[1])


def test_remains_of_decoding_are_ignored_and_other_tensors_refused():
    state = {"decoder.running_mask_self_attention": np.zeros((1, 1, 0), np.uint8), "decoder.running_seq": np.zeros(1)}
    for i in range(2):
        for part in ("keys", "values"):
            state[f"decoder.layers.{i}.self_att.running_{part}"] = np.zeros((0, 16), np.float32)
    wrapped = {f"module.{name}": tensor for name, tensor in (official() | state).items()}
    jax.tree.map(np.testing.assert_array_equal, loaded(wrapped), VARIABLES)
    with pytest.raises(WeightsError, match=r"extra: decoder\.layers\.0\.self_att\.attention\.m_k"):
        loaded(official() | {"decoder.layers.0.self_att.attention.m_k": np.zeros((1, 3, 16))})
    with pytest.raises(WeightsError, match=r"missing: decoder\.pos_emb\.weight"):
        loaded({name: tensor for name, tensor in official().items() if name != "decoder.pos_emb.weight"})
    with pytest.raises(WeightsError, match="2 misshapen"):
        loaded(official(), replace(TINY, vocabulary=12))


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"width 16 .* 3 heads"):
        jax.eval_shape(replace(TINY, heads=3).init, jax.random.key(0), REGIONS)
    with pytest.raises(ValueError, match="9 words, but positions 9 allow 8"):
        TINY.empty_cache(1, 9)
    with pytest.raises(ValueError, match="mask_padding needs `valid`"):
        jax.eval_shape(replace(TINY, mask_padding=True).apply, VARIABLES, REGIONS)


def test_an_empty_region_that_would_be_masked():
    """LN(relu(b)) of (3, 0, 0, 1) sums to 0 without a shift. A trained norm has a shift."""
    bias, scale = np.float32([3, -1, 0, 1]), np.ones(4, np.float32)
    tensors = {"encoder.fc.bias": bias, "encoder.layer_norm.weight": scale}
    assert "mask_padding" in check_projection(tensors | {"encoder.layer_norm.bias": scale * 0})
    assert check_projection(tensors | {"encoder.layer_norm.bias": scale * 0.1}) is None
    assert check_projection({}) is None
