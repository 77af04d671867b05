"""Captions from a decoder: beam search and greedy decoding as M2 Transformer's released evaluation runs them.

`search` and `greedy` are pure. They take any `step(state, words [N], t) -> (log-probabilities [N, V], state)` whose
state is a tree of arrays with N rows. `search_captions` and `greedy_captions` are compiled for an `M2Transformer`.
Shapes: B images, K beams, N = B * K rows (the beams of an image are next to each other), T steps, V words.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from third_party_ports.m2_transformer.network import M2Transformer

Step = Callable[[Any, jax.Array, jax.Array], tuple[jax.Array, Any]]
BARRED = -999.0  # the original's score for continuing a finished beam by anything but word 0


class Beams(NamedTuple):
    """The best K captions of each image, the best first. `bos` is not among their words.

    Attributes:
      tokens: [B, K, T] int32. What follows the first `eos` is filling.
      logprobs: [B, K, T] float32, of each word up to `eos`, and 0 after it.
      scores: [B, K] float32, the sums of the log-probabilities.
    """

    tokens: jax.Array
    logprobs: jax.Array
    scores: jax.Array


def search(step: Step, state: Any, images: int, *, beams: int, steps: int, bos: int, eos: int) -> Beams:
    """Runs beam search from `bos` for `steps` words, without length normalisation, early stop or forbidden words.

    `state` is the initial one, with images * beams rows. Ties go to the lower beam, then to the lower word. Raises
    ValueError if there are more beams than words.
    """

    def advance(carry, t):
        state, words, alive, scores, tokens, logprobs = carry
        logp, state = step(state, words.reshape(-1), t)
        size = logp.shape[-1]
        if size < beams:
            raise ValueError(f"beam search: {beams} beams need as many words, the vocabulary has {size}")
        logp = logp.reshape(images, beams, size)
        # A finished beam goes on competing with its score: word 0 continues it at no cost.
        frozen = jnp.where(jnp.arange(size) == 0, scores[..., None], BARRED)
        candidates = jnp.where(alive[..., None], scores[..., None] + logp, frozen)  # [B, K, V]
        scores, chosen = jax.lax.top_k(candidates.reshape(images, -1), beams)
        beam, words = chosen // size, chosen % size  # [B, K]
        cost = jnp.where(alive[..., None], logp, 0).reshape(images, -1)
        cost = jnp.take_along_axis(cost, chosen, 1)
        rows = (jnp.arange(images)[:, None] * beams + beam).reshape(-1)
        state = jax.tree.map(lambda leaf: leaf[rows], state)
        tokens = jnp.take_along_axis(tokens, beam[..., None], 1).at[..., t].set(words)
        logprobs = jnp.take_along_axis(logprobs, beam[..., None], 1).at[..., t].set(cost)
        alive = jnp.take_along_axis(alive, beam, 1) & (words != eos)
        return (state, words, alive, scores, tokens, logprobs), None

    shape = (images, beams)
    words, alive = jnp.full(shape, bos), jnp.ones(shape, bool)
    # All beams start as the same hypothesis: only the first may offer candidates, or its best would come K times.
    scores = jnp.where(jnp.arange(beams) == 0, 0.0, -jnp.inf) * jnp.ones((images, 1))
    tokens, logprobs = jnp.zeros((*shape, steps), jnp.int32), jnp.zeros((*shape, steps), jnp.float32)
    (_, _, _, scores, tokens, logprobs), _ = jax.lax.scan(
        advance, (state, words, alive, scores, tokens, logprobs), jnp.arange(steps)
    )
    return Beams(tokens, logprobs, scores)


def greedy(step: Step, state: Any, images: int, *, steps: int, bos: int, eos: int) -> tuple[jax.Array, jax.Array]:
    """Feeds the likeliest word back `steps` times, also after `eos`. `state` has one row per image.

    Returns tokens [B, T] int32 and log-probabilities [B, T] float32, which are 0 from the first `eos` on.
    """

    def advance(carry, t):
        state, words, alive = carry
        logp, state = step(state, words, t)
        words = logp.argmax(-1).astype(words.dtype)
        alive = alive & (words != eos)
        return (state, words, alive), (words, jnp.where(alive, logp.max(-1), 0))

    start = (state, jnp.full(images, bos, jnp.int32), jnp.ones(images, bool))
    tokens, logprobs = jax.lax.scan(advance, start, jnp.arange(steps))[1]
    return tokens.T, logprobs.T


@partial(jax.jit, static_argnames=("network", "beams", "steps"))
def search_captions(
    network: M2Transformer,
    variables: Any,
    levels: jax.Array,
    valid: jax.Array | None = None,
    *,
    beams: int = 5,
    steps: int = 20,
) -> Beams:
    """Runs `search` on encoder levels [B, L, R, D]; `valid` [B] as in `M2Transformer.encode`. Defaults as released."""
    state = network.empty_cache(len(levels) * beams, steps)
    step = _step(network, variables, levels, valid)
    return search(step, state, len(levels), beams=beams, steps=steps, bos=network.bos, eos=network.eos)


@partial(jax.jit, static_argnames=("network", "steps"))
def greedy_captions(
    network: M2Transformer, variables: Any, levels: jax.Array, valid: jax.Array | None = None, *, steps: int = 20
) -> tuple[jax.Array, jax.Array]:
    """Runs `greedy` on encoder levels [B, L, R, D]."""
    step = _step(network, variables, levels, valid)
    state = network.empty_cache(len(levels), steps)
    return greedy(step, state, len(levels), steps=steps, bos=network.bos, eos=network.eos)


def _step(network: M2Transformer, variables: Any, levels: jax.Array, valid: jax.Array | None) -> Step:
    context = network.apply(variables, levels, method="context")

    def step(cache, words, t):
        return network.apply(variables, words, t, cache, context, valid, method="step")

    return step
