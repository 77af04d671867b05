"""UHAN: a post's popularity from regions of its photo and its words, with attention that its user guides.

Zhang et al., WWW 2018. Written from a description of what the authors' code (Autumn945/UHAN, no licence stated)
computes. No weights are published; KEYS maps those of the fixture.
The original never meets two cases, so they are our choice: a post without words uses its image alone, and the text does
not guide the image's attention; row 0 of the users' table is for users who were not seen in training. The authors' L2
penalty (1e-4 on the word table and on the biases of dense layers) belongs to the trainer.
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
OFF = -1e30  # the logit of a missing entry: finite, so that a row without any entry has a gradient of 0, not NaN


class UHAN(nn.Module):
    """Turns regions, words and a user into the logarithm of popularity.

    Attributes:
      users: rows of the users' table.
      words: size of the vocabulary. The table has one more row, 0, for padding.
      width: K, of all embeddings.
      head: widths of the two layers before the output.
      gates: of the LSTM; the authors' Keras used "hard_sigmoid".
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
        """Computes the logarithm of popularity.

        Args:
          regions: [N, R, C], vectors of the cells of a frozen network's map.
          words: [N, L] integer; 0 is padding, which comes first.
          user: [N] integer.

        Returns:
          z [N] float32, and by name `word_states` [N, L, K] (0 at padding), `text_mean`, `image_mean`,
          `text_attended`, `image_attended`, `merged`, `joint` [N, K], and the weights `text_weights` [N, L],
          `image_weights` [N, R] and `modality_weights` [N, 2] (text, image), float32 with sum 1. Without words, the
          text's weights are 0 and the image's modality weight is 1.
        """
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
    """Word vectors [N, L, K] -> states [N, L, K]. Where `real` [N, L] is False, the state is kept and the result is 0.

    Call it in a module's compact method: it adds `lstm_input` and `lstm`.
    """
    n, _, k = x.shape
    inputs = Linear(4 * k, dtype=dtype, bias_init=forget_at_one, name="lstm_input")(x)  # of all steps at once
    scan = nn.scan(_Step, variable_broadcast="params", split_rngs={"params": False}, in_axes=1, out_axes=1)
    start = (jnp.zeros((n, k), dtype), jnp.zeros((n, k), jnp.float32))
    return scan(gate, dtype, name="lstm")(start, (inputs, real[..., None]))[1]


class _Step(nn.Module):
    """One step of an LSTM: (state, cell) [N, K], (the word's part of the gates [N, 4 K], whether it is a word [N, 1])
    -> the next (state, cell), and the state, or 0 for padding."""

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
    """Initialises the bias of the gates input, forget, cell and output, so that an untrained LSTM remembers."""
    k = shape[0] // 4
    return jnp.zeros(shape, dtype).at[k : 2 * k].set(1)


class Attention(nn.Module):
    """Weights vectors of one modality, guided by the mean of the other one and by the user."""

    dtype: Any

    @nn.compact
    def __call__(
        self, x: jax.Array, real: jax.Array, other: jax.Array, guided: jax.Array, user: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """x [N, M, K], real [N, M] (False: weight 0), other [N, K], guided [N, 1] (False: `other` does not guide),
        user [N, K] -> the weighted sum [N, K] and the weights [N, M] float32."""
        ours, others, users = (
            nn.tanh(_matrix(y, name, self.dtype)) for y, name in ((x, "wt"), (other, "wa"), (user, "wb"))
        )
        guide = jnp.where(guided, others, 1) * users
        scores = _matrix(ours * guide[:, None], "wh", self.dtype, 1)[..., 0]  # [N, M]
        return _weighted(x, scores, real)


class Merge(nn.Module):
    """Weights text and image, guided by the user."""

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
    """Multiplies x [..., K] by a matrix of this name in the module whose compact method calls this."""
    glorot = nn.initializers.glorot_normal()
    return Linear(features or x.shape[-1], use_bias=False, dtype=dtype, kernel_init=glorot, name=name)(x)


def _weighted(x: jax.Array, scores: jax.Array, real: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the mean of x [N, M, K] under a softmax of scores [N, M] over the real ones, and its weights [N, M].

    Both are 0 in a row without real ones.
    """
    weights = nn.softmax(jnp.where(real, scores.astype(jnp.float32), OFF)) * real
    return jnp.einsum("nm,nmk->nk", weights.astype(x.dtype), x), weights
