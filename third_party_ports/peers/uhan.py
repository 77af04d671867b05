"""UHAN: a post's popularity from its photo's regions and its words, attended under its user's guidance (Zhang et al.,
WWW 2018), written from a description of what the authors' code (Autumn945/UHAN, no licence stated) computes.

Nobody published weights; KEYS maps those of the fixture. What the original never meets is our choice: a post without
words gets its image alone, and its image attention no guide from the text; row 0 of the users' table is meant for
users who were not seen in training. Their L2 penalty (1e-4 on the word table and on dense biases) is the trainer's.
Shapes: N posts, R regions, C their width, L words, K width.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from third_party_ports.checkpoints.weights import KeyMap
from third_party_ports.layers.linear import Linear

KEYS = KeyMap(
    renames=(
        (r"^lstm\.weight_ih$", "lstm_input.weight"),
        (r"^lstm\.weight_hh$", "lstm.hidden.weight"),
        (r"^lstm\.bias$", "lstm_input.bias"),
        (r"^(att_text|att_image|merge)\.(w\w)$", r"\1.\2.weight"),
    ),
    ignored="",
)
GATES = {"sigmoid": nn.sigmoid, "hard_sigmoid": lambda x: jnp.clip(0.2 * x + 0.5, 0, 1)}  # Keras' slope, not JAX's
OFF = -1e30  # the logit of what is not there: finite, so that a row of nothing else has a gradient of 0, not NaN


class UHAN(nn.Module):
    """Regions, words and a user to the logarithm of popularity.

    Attributes:
      users: rows of the users' table.
      words: of the vocabulary; the table has one row more, 0, which is padding.
      width: K, of all embeddings.
      head: widths of the two layers before the output.
      gates: of the LSTM; "hard_sigmoid" as in the Keras of the authors.
      dtype: of the computation; parameters, the LSTM's cell, attention weights and z stay float32.
    """

    users: int
    words: int
    width: int = 512
    head: tuple[int, ...] = (1024, 1024)
    gates: Literal["sigmoid", "hard_sigmoid"] = "sigmoid"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, regions: jax.Array, words: jax.Array, user: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """regions [N, R, C], the vectors of a frozen network's grid; words [N, L] integer, 0 = padding, which stands
        in front; user [N] integer -> z [N] float32, and by name `word_states` [N, L, K] (0 at padding), `text_mean`,
        `image_mean`, `text_attended`, `image_attended`, `merged`, `joint` [N, K], `text_weights` [N, L],
        `image_weights` [N, R] and `modality_weights` [N, 2] (text, image), float32 of sum 1; without words the text's
        are 0 and the image's modality weight is 1."""
        real = words > 0  # [N, L]
        there = real.any(1, keepdims=True)  # [N, 1]
        u = nn.Embed(self.users, self.width, dtype=self.dtype, name="user")(user)
        t = nn.Embed(self.words + 1, self.width, dtype=self.dtype, name="word")(words)
        t = lstm(t, real, GATES[self.gates], self.dtype)
        v = nn.tanh(Linear(self.width, use_bias=False, dtype=self.dtype, name="region")(regions.astype(self.dtype)))
        t0 = t.sum(1) / jnp.maximum(real.sum(1, keepdims=True), 1).astype(self.dtype)
        v0 = v.mean(1)
        always = jnp.ones_like(there)
        text, text_weights = Attention(self.dtype, name="att_text")(t, real, v0, always, u)
        image, image_weights = Attention(self.dtype, name="att_image")(v, jnp.ones(v.shape[:2], bool), t0, there, u)
        merged, modality_weights = Merge(self.dtype, name="merge")(text, image, there, u)
        joint = merged + Linear(self.width, use_bias=False, dtype=self.dtype, name="user_add")(u)
        x = joint
        for i, width in enumerate(self.head):
            x = nn.relu(Linear(width, dtype=self.dtype, name=f"fc{i}")(x))
        z = Linear(1, name="out")(x.astype(jnp.float32))[:, 0]
        return z, {
            "word_states": t,
            "text_mean": t0,
            "image_mean": v0,
            "text_weights": text_weights,
            "image_weights": image_weights,
            "text_attended": text,
            "image_attended": image,
            "modality_weights": modality_weights,
            "merged": merged,
            "joint": joint,
        }


def lstm(x: jax.Array, real: jax.Array, gate: Any, dtype: Any) -> jax.Array:
    """Word vectors [N, L, K] -> states [N, L, K]; where `real` [N, L] is False the state is carried on, and 0 is given.

    To be called within a module's compact method: it adds `lstm_input` and `lstm`.
    """
    n, _, k = x.shape
    inputs = Linear(4 * k, dtype=dtype, bias_init=forget_at_one, name="lstm_input")(x)  # of all steps at once
    scan = nn.scan(_Step, variable_broadcast="params", split_rngs={"params": False}, in_axes=1, out_axes=1)
    start = (jnp.zeros((n, k), dtype), jnp.zeros((n, k), jnp.float32))
    return scan(gate, dtype, name="lstm")(start, (inputs, real[..., None]))[1]


class _Step(nn.Module):
    """A word of an LSTM: (state, cell) [N, K] and (what the word gives [N, 4 K], whether it is one [N, 1]) -> the next
    (state, cell), and the state, 0 for padding."""

    gate: Any
    dtype: Any

    @nn.compact
    def __call__(self, carry, step):
        (state, cell), (given, real) = carry, step
        hidden = nn.Dense(
            given.shape[-1], use_bias=False, dtype=self.dtype, kernel_init=nn.initializers.orthogonal(), name="hidden"
        )
        i, f, g, o = jnp.split((given + hidden(state)).astype(jnp.float32), 4, -1)
        new_cell = self.gate(f) * cell + self.gate(i) * nn.tanh(g)
        new_state = (self.gate(o) * nn.tanh(new_cell)).astype(self.dtype)
        carry = jnp.where(real, new_state, state), jnp.where(real, new_cell, cell)
        return carry, jnp.where(real, new_state, 0)


def forget_at_one(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """A bias of the gates input, forget, cell, output: an untrained LSTM remembers."""
    k = shape[0] // 4
    return jnp.zeros(shape, dtype).at[k : 2 * k].set(1)


class Attention(nn.Module):
    """Vectors of one modality weighted under the guidance of the other's mean and of the user."""

    dtype: Any

    @nn.compact
    def __call__(
        self, x: jax.Array, real: jax.Array, other: jax.Array, guided: jax.Array, user: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """x [N, M, K], real [N, M] (False: weight 0), other [N, K], guided [N, 1] (False: no guide from `other`),
        user [N, K] -> the weighted sum [N, K] and the weights [N, M] float32."""
        ours, others, users = (
            nn.tanh(_matrix(y, name, self.dtype)) for y, name in ((x, "wt"), (other, "wa"), (user, "wb"))
        )
        guide = jnp.where(guided, others, 1) * users
        scores = _matrix(ours * guide[:, None], "wh", self.dtype, 1)[..., 0]  # [N, M]
        return _weighted(x, scores, real)


class Merge(nn.Module):
    """Text and image weighted under the user's guidance."""

    dtype: Any

    @nn.compact
    def __call__(
        self, text: jax.Array, image: jax.Array, there: jax.Array, user: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """text, image, user [N, K], there [N, 1] (False: no text) -> the sum [N, K], the weights [N, 2] float32."""
        mapped = jnp.stack([_matrix(text, "w0", self.dtype), _matrix(image, "w1", self.dtype)], 1)  # [N, 2, K]
        guide = nn.tanh(_matrix(user, "wu", self.dtype))
        scores = _matrix(nn.tanh(mapped) * guide[:, None], "wh", self.dtype, 1)[..., 0]  # [N, 2]
        return _weighted(jnp.stack([text, image], 1), scores, jnp.concatenate([there, jnp.ones_like(there)], 1))


def _matrix(x: jax.Array, name: str, dtype: Any, features: int | None = None) -> jax.Array:
    """x [..., K] by a matrix of this name, of the module in whose compact method this is called."""
    glorot = nn.initializers.glorot_normal()
    return Linear(features or x.shape[-1], use_bias=False, dtype=dtype, kernel_init=glorot, name=name)(x)


def _weighted(x: jax.Array, scores: jax.Array, real: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mean of x [N, M, K] under a softmax of scores [N, M] over the real ones, and its weights; 0 without any."""
    weights = nn.softmax(jnp.where(real, scores.astype(jnp.float32), OFF)) * real
    return jnp.einsum("nm,nmk->nk", weights.astype(x.dtype), x), weights
