"""The user-specific feature: what the retrieved images say of a query, as tokens (section 3.2.2, eq. 4)."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class RetrievalTokens(nn.Module):
    """Projects similarities and local scores of the K retrieved images to tokens.

    Attributes:
      width: of a token, D.
      tokens: "vector" concatenates the K pairs (S, local) in rank order, with the K mask bits, and projects them
        to one token (the paper); "per_image" makes a token of each retrieved image.
      log_local: feed log local(r | q) instead of the local score itself.
      feed_count: feed log max(|A_r|, 1) behind each pair.
      dtype: of the computation.
    """

    width: int
    tokens: str = "vector"
    log_local: bool = False
    feed_count: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        similarity: jax.Array,
        local: jax.Array,
        count: jax.Array,
        mask: jax.Array,
        foreign: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """All arguments [N, K], mask bool (False = fewer than K candidates): (tokens [N, T, D], mask [N, T]).

        foreign bool: retrieved from another account (memory.fallback), fed as one more number behind each pair.
        """
        score = jnp.log(jnp.where(mask, local, 1.0)) if self.log_local else local
        features = [similarity, score]
        if self.feed_count:
            features.append(jnp.log(jnp.maximum(count, 1.0)))
        if foreign is not None:
            features.append(foreign.astype(similarity.dtype))
        pairs = jnp.where(mask[..., None], jnp.stack(features, -1), 0.0)  # [N, K, 2 to 4]
        project = nn.Dense(self.width, dtype=self.dtype, name="project")
        if self.tokens == "per_image":
            return project(pairs), mask
        if self.tokens != "vector":
            raise ValueError(f"model.retrieval.tokens is {self.tokens!r}: vector or per_image")
        vector = jnp.concatenate([pairs.reshape(len(pairs), -1), mask.astype(pairs.dtype)], -1)  # [N, 2K + K]
        return project(vector)[:, None], jnp.ones((len(pairs), 1), bool)
