"""The whole model: branches -> tokens -> fusion -> z = log s (section 3, Figure 2)."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ipa_jax.models.aggregation import AggregationEncoder, Concatenation
from ipa_jax.models.depth_branch import DepthBranch, cut_depth
from ipa_jax.models.retrieval_tokens import RetrievalTokens
from third_party_ports.efficientnet_lite import EfficientNetLite
from third_party_ports.efficientnet_lite_input import scaled
from third_party_ports.imagenet import MEAN, STD
from third_party_ports.layers.linear import Linear
from third_party_ports.swin import Swin


def normalise(pixels: jax.Array) -> jax.Array:
    """[..., 3] in [0, 1] -> what Swin and ResNet were trained on."""
    return (pixels - MEAN) / STD


def lite_fields(section: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of EfficientNetLite that config.model.efficientnet_lite stands for: without its classifier."""
    return {name: value for name, value in section.items() if name != "training"} | {"classes": 0}


class PopularityModel(nn.Module):
    """Scores images; only differences of scores within one account mean anything.

    Attributes: the fields of config.model by their names (its sections as plain dicts), and config.train.remat.
    """

    swin: Mapping[str, Any]
    efficientnet_lite: Mapping[str, Any]
    retrieval: Mapping[str, Any]
    depth: Mapping[str, Any]
    backbone: str = "swin"
    fusion: str = "aggregation"
    width: int = 512
    blocks: int = 4
    heads: int = 8
    mlp_ratio: int = 4
    dtype: jnp.dtype = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(
        self,
        inputs: Mapping[str, jax.Array],
        *,
        train: bool,
        keys: jax.Array | None = None,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """z float32 [N], and every intermediate by name.

        Args:
          inputs: image uint8 [N, c, c, 3]; slot_mask bool [N] (False = empty slot); where the branches are on:
            similarity, local, count float32 [N, K] and retrieved_mask bool [N, K], and where memory.fallback is on
            foreign bool [N, K]; depth uint16 [N, d, d], window
            float32 [N, 3] and flip bool [N], or depth_vectors float32 [N, V, C] when they are cached.
          train: BatchNorm uses (and updates) the statistics of this batch, over all devices of axis_name.
          keys: a PRNG key an image [N] for stochastic depth; None: none is dropped.
        """
        out = {}
        pixels = inputs["image"].astype(jnp.float32) / 255.0  # [N, c, c, 3]
        regions, out[self.backbone] = self._regions(inputs, pixels, train=train, keys=keys, axis_name=axis_name)
        tokens = [self._project(regions, "image_project", "image_type")]  # [N, T, D]
        masks = [jnp.ones(tokens[0].shape[:2], bool)]

        if self.retrieval["enabled"]:
            fields = {name: value for name, value in self.retrieval.items() if name != "enabled"}
            retrieved, seen = RetrievalTokens(self.width, **fields, dtype=self.dtype, name="retrieval")(
                inputs["similarity"],
                inputs["local"],
                inputs["count"],
                inputs["retrieved_mask"],
                inputs.get("foreign"),
            )
            tokens.append(retrieved + self._type("retrieval_type", 1))
            masks.append(seen)
        if self.depth["enabled"]:
            vectors, out["depth"] = self._depth_vectors(inputs, pixels, train=train, axis_name=axis_name)
            out["depth_vectors"] = vectors
            tokens.append(self._project(vectors.astype(self.dtype), "depth_project", "depth_type", vectors.shape[1]))
            masks.append(jnp.ones(vectors.shape[:2], bool))

        if self.fusion == "aggregation":
            encoder = AggregationEncoder(self.blocks, self.heads, self.mlp_ratio, self.dtype, name="aggregation")
            embedding = encoder(jnp.concatenate(tokens, 1), jnp.concatenate(masks, 1))
        elif self.fusion == "concat":
            pooled = [tokens[0].mean(1)]
            pooled += [(t * m[..., None]).reshape(len(t), -1) for t, m in zip(tokens[1:], masks[1:], strict=True)]
            embedding = Concatenation(self.mlp_ratio, self.dtype, name="concatenation")(jnp.concatenate(pooled, 1))
        else:
            raise ValueError(f"model.fusion is {self.fusion!r}: aggregation or concat")
        out |= {"tokens": jnp.concatenate(tokens, 1), "mask": jnp.concatenate(masks, 1), "embedding": embedding}
        z = nn.Dense(1, dtype=jnp.float32, name="head")(embedding.astype(jnp.float32))[:, 0]
        return z, out

    def _regions(self, inputs, pixels, *, train, keys, axis_name):
        """The backbone's features of the regions of each image [N, T, F], and its taps."""
        if self.backbone == "swin":
            swin = Swin(**self.swin, dtype=self.dtype, remat=self.remat, name="swin")
            return swin(normalise(pixels).astype(self.dtype), keys=keys)
        if self.backbone != "efficientnet_lite":
            raise ValueError(f"model.backbone is {self.backbone!r}: swin or efficientnet_lite")
        frozen = self.efficientnet_lite["training"] == "frozen"
        fields = lite_fields(self.efficientnet_lite)
        network = EfficientNetLite(**fields, dtype=self.dtype, name="efficientnet_lite")
        images = scaled(inputs["image"]).astype(self.dtype)
        _, out = network(images, train=train and not frozen, mask=inputs["slot_mask"], axis_name=axis_name)
        regions = out["map"].reshape(len(images), -1, out["map"].shape[-1])  # [N, h, w, F] -> [N, T, F]
        return (jax.lax.stop_gradient(regions) if frozen else regions), out

    def _depth_vectors(self, inputs, pixels, *, train, axis_name):
        if self.depth["resnet"] == "cached":
            return inputs["depth_vectors"], {}
        side = self.depth["side"]
        depth = cut_depth(inputs["depth"], inputs["window"], inputs["flip"], side)  # [N, s, s]
        n, c = pixels.shape[:2]
        small = pixels if c == side else jax.image.resize(pixels, (n, side, side, 3), "linear")
        fields = {name: value for name, value in self.depth.items() if name != "enabled"}
        return DepthBranch(**fields, dtype=self.dtype, remat=self.remat, name="depth_branch")(
            small, depth, inputs["slot_mask"], normalise, train=train, axis_name=axis_name
        )

    def _type(self, name: str, count: int) -> jax.Array:
        return self.param(name, nn.initializers.normal(0.02), (count, self.width)).astype(self.dtype)

    def _project(self, features: jax.Array, name: str, type_name: str, types: int = 1) -> jax.Array:
        """A branch's features [N, T, F] as tokens [N, T, D] with the embedding of their type."""
        return Linear(self.width, dtype=self.dtype, name=name)(features) + self._type(type_name, types)


def build_model(model: ConfigDict, *, dtype: str | None = None, remat: bool = False) -> PopularityModel:
    """The network of config.model; dtype overrides its precision (evaluation runs in float32)."""
    fields = {name: value for name, value in model.to_dict().items() if name not in ("dtype", "network")}
    return PopularityModel(**fields, dtype=jnp.dtype(dtype or model.dtype), remat=remat)


def build(config: ConfigDict, *, dtype: str) -> PopularityModel:
    """As networks.py asks for it."""
    return build_model(config.model, dtype=dtype, remat=recomputes(config, jax.default_backend()))


def recomputes(config: ConfigDict, platform: str) -> bool:
    """Whether the backward pass on this platform computes again what is not a product (config.train.remat)."""
    chosen = config.train.get("remat", "never")  # a run of an earlier version has no such field
    return chosen == "always" or (chosen == "cpu" and platform == "cpu")
