"""Xu et al. 2020 ("Multimodal Deep Learning for Social Media Popularity Prediction with Attention Mechanism"): a photo
and several texts to log likes.

Public are the abstract and keywords [public]: features of several modalities, joined by an attention that gives large
weights to some, in training and inference; an ensemble. Everything else is our reading [choice], the plainest network
that fits: Swin as the paper's Table 1 says; the post's own text without hashtags and mentions, the hashtags, a machine
caption of the photo, and, as a row of its own, the earliest comments. COMMENTS ARE WRITTEN AFTER POSTING, and their
number and tone follow popularity: a model that reads them cannot be used before (configs/xu_comments.py). Their count
is never a feature.

Every text but the hashtags goes through a bidirectional GRU of its own, states averaged over the words; hashtags are
the mean of their word vectors; one word table serves all, at random or from a file (config.init.words), and trained on.
Which text a field holds can be chosen (config.xu.fields: "description=post"); its name decides how it is read. Squared
error of log likes of single images (or `image_huber`), AdamW 1e-3, batch 256, cosine to 0 over 20 epochs, decay 1e-4,
the best checkpoint by validation pair accuracy. The original's last entry was an ensemble; the rows that we report are
single models, and `ipa-jax evaluate --export A B C` gives the figures of several. Unknown: the original's extractors,
sizes, numeric and user features, optimiser.
Shapes: N posts, F fields, L words, D width.
"""

from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ipa_jax.input import texts
from third_party_ports.imagenet import normalise
from third_party_ports.layers.linear import Linear
from third_party_ports.swin import Swin

OFF = -1e30  # the logit of an absent field
FIELD_DRAWS, HEAD_DRAW = 1000, 2000  # of fold_in: Swin's stochastic depth has the small ones


class XuPeer(nn.Module):
    """Fields to z.

    Attributes:
      swin: fields of Swin.
      words: rows of the word table.
      fields: "image" and names of texts.py; their order means nothing, but to "concat".
      attention: how fields are joined: "modality" weighs those that are present, "mean" weighs them alike, "concat"
        puts them side by side, zeros for an absent one.
      frozen: Swin is not trained.
      word_width, text_width: of the word vectors, and of each direction of a GRU.
      width, attention_width: D, and of the attention's hidden layer.
      head: widths of the two layers before the output; `dropout` is between them.
      field_dropout: share of train images that lack a text field, drawn for each field.
      dtype: of the computation; parameters, attention weights and z stay float32.
    """

    swin: Mapping[str, Any]
    words: int
    fields: tuple[str, ...] = ("image", "description", "hashtag", "caption")
    attention: Literal["modality", "concat", "mean"] = "modality"
    frozen: bool = True
    word_width: int = 300
    text_width: int = 256
    width: int = 512
    attention_width: int = 256
    head: tuple[int, int] = (512, 256)
    dropout: float = 0.3
    field_dropout: float = 0.1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        inputs: Mapping[str, jax.Array],
        *,
        train: bool,
        keys: jax.Array | None = None,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """inputs: image uint8 [N, c, c, 3], words/FIELD int32 [N, L], 0 = padding -> z float32 [N], and by name
        `present` [N, F] bool, `weights` [N, F] float32 (but for "concat"), `embedding` [N, D]."""
        table = nn.Embed(self.words, self.word_width, dtype=self.dtype, name="word")
        hidden, present = [], []
        for number, field in enumerate(self.fields):
            if field == "image":
                vector, there = self._image(inputs["image"], keys if train and not self.frozen else None)
            else:
                vector, there = self._text(table, field, inputs[f"words/{field}"])
                if train and keys is not None and self.field_dropout:
                    there &= _draw(keys, FIELD_DRAWS + number, 1 - self.field_dropout)
            x = nn.relu(Linear(self.width, dtype=self.dtype, name=f"project_{field}")(vector))
            hidden.append(nn.LayerNorm(dtype=self.dtype, name=f"norm_{field}")(x))
            present.append(there)
        hidden, present = jnp.stack(hidden, 1), jnp.stack(present, 1)  # [N, F, D], [N, F]
        joined, out = self._join(hidden, present)
        x = nn.relu(Linear(self.head[0], dtype=self.dtype, name="fc0")(joined))
        if train and keys is not None and self.dropout:
            kept = _draw(keys, HEAD_DRAW, 1 - self.dropout, x.shape[1:])
            x = jnp.where(kept, x / (1 - self.dropout), 0)
        x = nn.relu(Linear(self.head[1], dtype=self.dtype, name="fc1")(x))
        z = Linear(1, name="out")(x.astype(jnp.float32))[:, 0]
        return z, out | {"present": present, "embedding": joined}

    def _image(self, images: jax.Array, keys: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        pixels = normalise(images).astype(self.dtype)
        _, out = Swin(**self.swin, dtype=self.dtype, name="swin")(pixels, keys=keys)
        pooled = out["pooled"].astype(self.dtype)
        return jax.lax.stop_gradient(pooled) if self.frozen else pooled, jnp.ones(len(images), bool)

    def _text(self, table: nn.Embed, field: str, words: jax.Array) -> tuple[jax.Array, jax.Array]:
        real = words > 0  # [N, L]
        states = table(words)
        if field != "hashtag":
            states = bidirectional(states, real, self.text_width, self.dtype, f"gru_{field}")
        total = jnp.where(real[..., None], states, 0).sum(1, dtype=jnp.float32)
        return (total / jnp.maximum(real.sum(1, keepdims=True), 1)).astype(self.dtype), real.any(1)

    def _join(self, hidden: jax.Array, present: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        if self.attention == "concat":
            return jnp.where(present[..., None], hidden, 0).reshape(len(hidden), -1), {}
        scores = jnp.zeros(present.shape)
        if self.attention == "modality":
            inner = nn.tanh(Linear(self.attention_width, dtype=self.dtype, name="attention")(hidden))
            scores = Linear(1, use_bias=False, dtype=self.dtype, name="query")(inner)[..., 0]
        elif self.attention != "mean":
            raise ValueError(f"xu.attention is {self.attention!r}: modality, concat or mean")
        weights = nn.softmax(jnp.where(present, scores.astype(jnp.float32), OFF)) * present
        return jnp.einsum("nf,nfd->nd", weights.astype(self.dtype), hidden), {"weights": weights}


def _draw(keys: jax.Array, number: int, share: float, shape: tuple[int, ...] = ()) -> jax.Array:
    """bool [N, *shape], True with probability `share`: by the image's own key, so that no batch or device matters."""
    return jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, number), share, shape))(keys)


def bidirectional(x: jax.Array, real: jax.Array, width: int, dtype: Any, name: str) -> jax.Array:
    """Word vectors [N, L, C] -> states of a GRU forwards and one backwards [N, L, 2 width]; where `real` [N, L] is
    False a state is carried on. To be called within a module's compact method, whose submodules begin with `name`."""
    states = []
    for direction, reverse in (("forward", False), ("backward", True)):
        given = Linear(3 * width, dtype=dtype, name=f"{name}_{direction}_input")(x)  # of all steps at once
        scan = nn.scan(
            _Step, variable_broadcast="params", split_rngs={"params": False}, in_axes=1, out_axes=1, reverse=reverse
        )
        start = jnp.zeros((len(x), width), dtype)
        states.append(scan(dtype, name=f"{name}_{direction}")(start, (given, real[..., None]))[1])
    return jnp.concatenate(states, -1)


class _Step(nn.Module):
    """A word of a GRU: state [N, K] and what the word gives [N, 3 K], with whether it is one -> next state, twice."""

    dtype: Any

    @nn.compact
    def __call__(self, state: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        given, real = step
        init = nn.initializers.orthogonal()
        hidden = nn.Dense(given.shape[-1], dtype=self.dtype, kernel_init=init, name="hidden")(state)
        (xr, xz, xn), (hr, hz, hn) = (jnp.split(y.astype(jnp.float32), 3, -1) for y in (given, hidden))
        update = nn.sigmoid(xz + hz)
        new = nn.tanh(xn + nn.sigmoid(xr + hr) * hn)
        new = ((1 - update) * new + update * state).astype(self.dtype)
        state = jnp.where(real, new, state)
        return state, state


def build(config: ConfigDict, *, dtype: str) -> XuPeer:
    """The network of config.xu; its word table has a row for each word that there may be."""
    xu = config.xu
    sizes = ("word_width", "text_width", "width", "attention_width", "head", "dropout", "field_dropout")
    return XuPeer(
        swin=config.model.swin.to_dict(), words=config.texts.words + 2, fields=texts.names(xu.fields),
        attention=xu.attention, frozen=xu.image == "frozen", dtype=jnp.dtype(dtype),
        **{name: xu[name] for name in sizes},
    )  # fmt: skip
