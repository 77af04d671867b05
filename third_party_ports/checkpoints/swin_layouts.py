"""Renames the tensors of Swin checkpoints from timm and transformers to the official names."""

import re
from collections.abc import Mapping

import numpy as np

from third_party_ports.checkpoints.weights import WeightsError

TIMM = ((r"^head\.fc\.", "head."),)
TRANSFORMERS = (  # the names of version 4 and of published files, then those of version 5; the order matters
    (r"^swin\.", ""),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.norm\.", "patch_embed.norm."),
    (r"^layernorm\.", "norm."),
    (r"^classifier\.", "head."),
    (r"^encoder\.layers\.", "layers."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.self\.(query|key|value)\.", r".attn.\1."),
    (r"\.attention\.(q|k|v)_proj\.", r".attn.\1."),
    (r"\.attention\.self\.relative_position_", ".attn.relative_position_"),
    (r"\.attention\.relative_position_bias\.relative_position_", ".attn.relative_position_"),
    (r"\.attention\.(output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
)
QKV = (("query", "key", "value"), ("q", "k", "v"))
UNUSED = r"embeddings\.mask_token"  # of pre-training


def official_swin(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], str]:
    """Returns the tensors by official name, and the layout they came in: "official", "timm" or "transformers".

    The whole file has one layout, because the same name means another tensor in another layout. All three order axes
    alike, also in the concatenation of a patch merging.

    Raises:
      WeightsError: queries, keys and values do not come in threes of one width.
    """
    plain = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    if any(re.match(r"(swin\.)?(embeddings\.patch_embeddings|encoder\.layers\.\d+\.blocks)\.", name) for name in plain):
        return _from_transformers(plain), "transformers"
    mergings = sorted(int(match[1]) for name in plain if (match := re.match(r"layers\.(\d+)\.downsample\.", name)))
    if mergings and mergings[0] > 0:
        return _from_timm(plain), "timm"
    return plain, "official"


def _from_timm(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """In timm a patch merging begins the next stage; in the official files it ends its own."""

    def official(name: str) -> str:
        name = re.sub(r"^layers\.(\d+)\.downsample\.", lambda m: f"layers.{int(m[1]) - 1}.downsample.", name)
        return _renamed(name, TIMM)

    return {official(name): tensor for name, tensor in tensors.items()}


def _from_transformers(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Renames, and stacks queries, keys and values along the output axis."""
    named = {_renamed(name, TRANSFORMERS): tensor for name, tensor in tensors.items()}
    named = {name: tensor for name, tensor in named.items() if not re.fullmatch(UNUSED, name)}
    for first, second, third in QKV:
        for name in [name for name in named if f".attn.{first}." in name]:
            triple = [name.replace(f".attn.{first}.", f".attn.{part}.") for part in (first, second, third)]
            if any(part not in named or named[part].ndim == 0 for part in triple):
                raise WeightsError(f"{name} comes without its {second} or {third}: the file is incomplete.")
            parts = [named.pop(part) for part in triple]
            if len({part.shape[1:] for part in parts}) > 1:
                raise WeightsError(f"{', '.join(triple)} differ in width: the file is damaged.")
            named[name.replace(f".attn.{first}.", ".attn.qkv.")] = np.concatenate(parts)
    return named


def _renamed(name: str, renames: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name
