"""Tests of beam search and greedy decoding against a slow search, on random tables and on a tiny network."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from third_party_ports.m2_transformer.beam_search import greedy, greedy_captions, search, search_captions
from third_party_ports.m2_transformer.network import M2Transformer

IMAGES, BEAMS, STEPS, WORDS, CODES = 2, 3, 6, 5, 13
BOS = 2


def code(word, before):
    """Returns a row of the table that depends on all words so far, so that a beam with a wrong history is seen."""
    return (before * 7 + word + 1) % CODES


def table_step(tables, beams):
    def step(state, words, t):
        codes = code(words, state)
        return tables[jnp.arange(len(words)) // beams, codes], codes

    return step


@jax.jit
def found(tables, eos):
    state = jnp.zeros(IMAGES * BEAMS, int)
    return search(table_step(tables, BEAMS), state, IMAGES, beams=BEAMS, steps=STEPS, bos=BOS, eos=eos)


@jax.jit
def first_found(tables, eos):
    return greedy(table_step(tables, 1), jnp.zeros(IMAGES, int), IMAGES, steps=STEPS, bos=BOS, eos=eos)


def slow_search(logprobs, beams, steps, eos):
    """`logprobs(words so far) -> [V]` float32, of one image. Hypotheses are (score, words, log-probabilities)."""
    hypotheses = [(np.float32(0), [], [])]
    for _ in range(steps):
        offers = []
        for k, (score, words, _) in enumerate(hypotheses):
            values = logprobs(words)
            for v, value in enumerate(values):
                if eos not in words:
                    offers.append((score + value, k, v, value))
                elif v == 0:
                    offers.append((score, k, v, 0))
                else:
                    offers.append((np.float32(-999), k, v, 0))
        best = sorted(offers, key=lambda offer: (-offer[0], offer[1], offer[2]))[:beams]
        hypotheses = [(s, hypotheses[k][1] + [v], hypotheses[k][2] + [c]) for s, k, v, c in best]
    return hypotheses


def table_logprobs(table):
    def logprobs(words):
        state = 0
        for word in [BOS, *words]:
            state = code(word, state)
        return table[state]

    return logprobs


def random_tables(seed, spread, grid):
    tables = np.random.default_rng(seed).normal(0, spread, (IMAGES, CODES, WORDS))
    tables -= np.log(np.exp(tables - tables.max(-1, keepdims=True)).sum(-1, keepdims=True)) + tables.max(
        -1, keepdims=True
    )
    return np.float32(np.round(tables / grid) * grid if grid else tables)


tables = st.builds(
    random_tables, st.integers(0, 10**6), st.sampled_from([0.5, 3, 400]), st.sampled_from([None, 0.5, 2])
)


@settings(max_examples=150, deadline=None)
@given(tables, st.integers(0, WORDS - 1))
def test_equals_a_slow_search(tables, eos):
    """Coarse grids make many ties. Spreads of hundreds reach the score that bars words after a finished caption."""
    beams = jax.tree.map(np.asarray, found(tables, eos))
    for n in range(IMAGES):
        expected = slow_search(table_logprobs(tables[n]), BEAMS, STEPS, eos)
        assert beams.tokens[n].tolist() == [words for _, words, _ in expected]
        np.testing.assert_array_equal(beams.scores[n], [score for score, _, _ in expected])
        np.testing.assert_array_equal(beams.logprobs[n], np.float32([costs for _, _, costs in expected]))


@settings(max_examples=50, deadline=None)
@given(tables, st.integers(0, WORDS - 1))
def test_greedy_continues_after_eos(tables, eos):
    tokens, logprobs = map(np.asarray, first_found(tables, eos))
    for n in range(IMAGES):
        words, costs = [], []
        for _ in range(STEPS):
            row = table_logprobs(tables[n])(words)
            words.append(int(row.argmax()))
            costs.append(0 if eos in words else row.max())
        assert tokens[n].tolist() == words
        np.testing.assert_array_equal(logprobs[n], np.float32(costs))


def test_ties_go_to_the_lower_beam_then_the_lower_word():
    beams = found(np.zeros((IMAGES, CODES, WORDS), np.float32), WORDS)  # no word ends
    assert beams.tokens[0].tolist() == [[0] * STEPS, [0] * (STEPS - 1) + [1], [0] * (STEPS - 1) + [2]]


def test_a_finished_beam_waits_and_is_pushed_out():
    """Worked out by hand. Word 1 ends a caption. After two steps, 2, 2 (-0.5) beats the end after `bos` (-1), until it
    ends at a high cost."""
    table = np.full((1, 4, 3), -50, np.float32)
    table[0, 0] = [-9, -1, -0.25]
    table[0, 1] = [-9, -9, -0.25]
    table[0, 2:] = [-9, -4, -9]

    def step(state, words, t):
        return jnp.asarray(table)[0, t][None].repeat(len(words), 0), state

    beams = search(step, (), 1, beams=2, steps=2, bos=2, eos=1)
    assert beams.tokens[0].tolist() == [[2, 2], [1, 0]]
    np.testing.assert_array_equal(beams.scores[0], [-0.5, -1])
    beams = search(step, (), 1, beams=2, steps=4, bos=2, eos=1)
    assert beams.tokens[0].tolist() == [[1, 0, 0, 0], [2, 2, 1, 0]]
    np.testing.assert_array_equal(beams.logprobs[0], [[-1, 0, 0, 0], [-0.25, -0.25, -4, 0]])
    np.testing.assert_array_equal(beams.scores[0], beams.logprobs[0].sum(-1))


def test_more_beams_than_words():
    step = table_step(jnp.zeros((1, CODES, 2)), 3)
    with pytest.raises(ValueError, match="3 beams need as many words, the vocabulary has 2"):
        search(step, jnp.zeros(3, int), 1, beams=3, steps=2, bos=0, eos=1)


def test_captions_of_a_network():
    """The search's cached steps equal passes over each whole hypothesis, image by image."""
    network = M2Transformer(9, 16, 4, 2, 3, 24, 8, eos=8, mask_padding=True)
    regions, valid = np.random.default_rng(3).uniform(0, 2, (2, 4, 6)).astype(np.float32), np.array([2, 4])
    shapes = jax.eval_shape(network.init, jax.random.key(0), regions, None, valid)
    rng = np.random.default_rng(8)
    variables = jax.tree.map(lambda leaf: rng.normal(0, 0.6, leaf.shape).astype(np.float32), shapes)
    variables["params"]["decoder"]["word_emb"]["embedding"] *= 4  # or all captions repeat one word
    levels = jax.jit(partial(network.apply, method="encode"))(variables, regions, valid)
    beams = jax.tree.map(np.asarray, search_captions(network, variables, levels, valid, beams=3, steps=7))
    tokens, _ = greedy_captions(network, variables, levels, valid, steps=7)

    decode = jax.jit(partial(network.apply, method="decode"))

    def logprobs(words, n):
        row = np.full((1, 7), network.pad)
        row[0, : len(words) + 1] = [network.bos, *words]
        return np.asarray(decode(variables, row, levels[n : n + 1], valid[n : n + 1]))[0, len(words)]

    for n in range(2):
        expected = slow_search(partial(logprobs, n=n), 3, 7, network.eos)
        assert beams.tokens[n].tolist() == [words for _, words, _ in expected]
        np.testing.assert_allclose(beams.scores[n], [score for score, _, _ in expected], atol=1e-4)
        said = []
        for _ in range(7):
            said.append(int(logprobs(said, n).argmax()))
        assert tokens[n].tolist() == said
    assert len(set(map(tuple, beams.tokens.reshape(6, 7).tolist()))) > 3
