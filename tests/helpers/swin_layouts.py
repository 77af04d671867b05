"""A tiny Swin's checkpoint as the official code, timm and transformers would write it."""

import numpy as np

from third_party_ports.swin import Swin

SWIN = Swin(patch=2, width=4, depths=(1, 2, 1), heads=(1, 2, 2), window=2, drop_path=0.0)
IMAGES = (1, 16, 16, 3)
STAGES = ((4, 1, 1), (8, 2, 2), (16, 1, 2))  # width, blocks, heads


def official(classes: int = 5) -> dict[str, np.ndarray]:
    """With classifier and the buffers that the official code stores."""
    rng = np.random.default_rng(0)
    tensors: dict[str, np.ndarray] = {}

    def add(name: str, *shape: int, bias: bool = True) -> None:
        tensors[f"{name}.weight"] = rng.normal(size=shape).astype(np.float32)
        if bias:
            tensors[f"{name}.bias"] = rng.normal(size=shape[:1]).astype(np.float32)

    add("patch_embed.proj", 4, 3, 2, 2)
    add("patch_embed.norm", 4)
    for s, (c, blocks, heads) in enumerate(STAGES):
        for b in range(blocks):
            block = f"layers.{s}.blocks.{b}"
            add(f"{block}.norm1", c)
            add(f"{block}.norm2", c)
            add(f"{block}.attn.qkv", 3 * c, c)
            add(f"{block}.attn.proj", c, c)
            add(f"{block}.mlp.fc1", 4 * c, c)
            add(f"{block}.mlp.fc2", c, 4 * c)
            table = rng.normal(size=(9, heads)).astype(np.float32)
            tensors[f"{block}.attn.relative_position_bias_table"] = table
            tensors[f"{block}.attn.relative_position_index"] = np.zeros((4, 4), np.int64)
        if s < 2:
            add(f"layers.{s}.downsample.norm", 4 * c)
            add(f"layers.{s}.downsample.reduction", 2 * c, 4 * c, bias=False)
    tensors["layers.1.blocks.1.attn_mask"] = np.zeros((4, 4, 4), np.float32)
    add("norm", 16)
    add("head", classes, 16)
    return tensors


def needed() -> dict[str, np.ndarray]:
    """Without what the network ignores."""
    return {n: t for n, t in official().items() if not n.startswith("head.") and "index" not in n and "mask" not in n}


def timm() -> dict[str, np.ndarray]:
    tensors = {}
    for name, tensor in official().items():
        if "relative_position_index" in name or "attn_mask" in name:
            continue
        for s in (0, 1):  # not one after the other: layers.0 would end in layers.2
            if name.startswith(f"layers.{s}.downsample."):
                name = f"layers.{s + 1}.downsample." + name.split("downsample.")[1]
                break
        tensors[name.replace("head.", "head.fc.") if name.startswith("head.") else name] = tensor
    return tensors


def transformers(version: int, *, classifier: bool = True) -> dict[str, np.ndarray]:
    """As version 4 (and the published files) or version 5 names them; without classifier there is no "swin."."""
    names = {
        4: {"qkv": "attention.self.{}", "q": ("query", "key", "value"), "table": "attention.self.",
            "proj": "attention.output.dense", "fc1": "intermediate.dense", "fc2": "output.dense"},
        5: {"qkv": "attention.{}_proj", "q": ("q", "k", "v"), "table": "attention.relative_position_bias.",
            "proj": "attention.o_proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2"},
    }[version]  # fmt: skip
    before = "swin." if classifier else ""
    tensors = {f"{before}embeddings.mask_token": np.zeros((1, 1, 4), np.float32)}
    for name, tensor in official().items():
        owner, _, last = name.rpartition(".")
        if name.startswith("head."):
            if classifier:
                tensors[f"classifier.{last}"] = tensor
            continue
        if "attn_mask" in name:
            continue
        if owner.startswith("layers."):
            owner = f"encoder.{owner}"
        if owner.endswith("attn.qkv"):
            for part, rows in zip(names["q"], np.split(tensor, 3), strict=True):
                tensors[before + owner.replace("attn.qkv", names["qkv"].format(part)) + f".{last}"] = rows
            continue
        if last.startswith("relative_position"):
            tensors[before + owner.removesuffix("attn") + names["table"] + last] = tensor
            continue
        for ours, theirs in (("norm1", "layernorm_before"), ("norm2", "layernorm_after"), ("attn.proj", names["proj"]),
                             ("mlp.fc1", names["fc1"]), ("mlp.fc2", names["fc2"]),
                             ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
                             ("patch_embed.norm", "embeddings.norm")):  # fmt: skip
            if owner.endswith(ours):
                owner = owner.removesuffix(ours) + theirs
                break
        tensors[before + ("layernorm" if owner == "norm" else owner) + f".{last}"] = tensor
    return tensors
