"""Swin in plain numpy, float64: dense attention over all tokens, so that no window is ever cut out or rolled."""

import numpy as np
from scipy.special import erf

Tensors = dict[str, np.ndarray]


def normed(x: np.ndarray, t: Tensors, name: str) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * t[f"{name}.weight"] + t[f"{name}.bias"]


def linear(x: np.ndarray, t: Tensors, name: str) -> np.ndarray:
    return x @ t[f"{name}.weight"].T.astype(np.float64) + t.get(f"{name}.bias", 0)


def attended(x: np.ndarray, t: Tensors, name: str, heads: int, side: int, window: int, shift: int) -> np.ndarray:
    """[N, T, C] -> [N, T, C]. Tokens attend to each other where they share a window and the edge parts them not."""
    n, tokens, c = x.shape
    places = np.array([((y - shift) % side, (x - shift) % side) for y in range(side) for x in range(side)])  # rolled
    wrapped = np.array([(y < shift, x < shift) for y in range(side) for x in range(side)])
    group = np.concatenate([places // window, wrapped], 1)
    together = (group[:, None] == group).all(-1)  # [T, T]
    step = (places % window)[:, None] - places % window + window - 1
    table = t[f"{name}.relative_position_bias_table"]
    bias = table[np.where(together, step[..., 0] * (2 * window - 1) + step[..., 1], 0)]  # [T, T, heads]
    q, k, v = linear(x, t, f"{name}.qkv").reshape(n, tokens, 3, heads, c // heads).transpose(2, 0, 3, 1, 4)
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(c // heads) + bias.transpose(2, 0, 1)
    scores = np.where(together, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = weights / weights.sum(-1, keepdims=True) @ v  # [N, heads, T, C / heads]
    return linear(mixed.swapaxes(1, 2).reshape(n, tokens, c), t, f"{name}.proj")


def answers(images: np.ndarray, t: Tensors, config: dict) -> dict[str, np.ndarray]:
    """Normalised images [N, 3, S, S] -> every tap of the network by name."""
    n, patch, side = len(images), config["patch"], images.shape[-1] // config["patch"]
    cells = images.reshape(n, 3, side, patch, side, patch).transpose(0, 2, 4, 1, 3, 5).reshape(n, side * side, -1)
    x = cells @ t["patch_embed.proj.weight"].reshape(config["embed"], -1).T + t["patch_embed.proj.bias"]
    x = normed(x, t, "patch_embed.norm")
    taps = {"patch_embed": x}
    for s, (depth, heads) in enumerate(zip(config["depths"], config["heads"], strict=True)):
        window = min(config["window"], side)
        for b in range(depth):
            name, shift = f"layers.{s}.blocks.{b}", window // 2 if b % 2 and side > window else 0
            x = x + attended(normed(x, t, f"{name}.norm1"), t, f"{name}.attn", heads, side, window, shift)
            hidden = linear(normed(x, t, f"{name}.norm2"), t, f"{name}.mlp.fc1")
            x = x + linear(hidden * (1 + erf(hidden / np.sqrt(2))) / 2, t, f"{name}.mlp.fc2")
            taps[f"stage{s}_block{b}"] = x
        if s + 1 < len(config["depths"]):
            grid = x.reshape(n, side, side, -1)
            quarters = [grid[:, y::2, x::2] for y, x in ((0, 0), (1, 0), (0, 1), (1, 1))]
            side //= 2
            merged = normed(np.concatenate(quarters, -1), t, f"layers.{s}.downsample.norm")
            x = linear(merged, t, f"layers.{s}.downsample.reduction").reshape(n, side * side, -1)
        taps[f"stage{s}"] = x
    tokens = normed(x, t, "norm")
    return taps | {"tokens": tokens, "pooled": tokens.mean(1)}


def tensor_list(config: dict, classes: int) -> tuple[list[list], list[str]]:
    """[name, shape, dtype] of the official checkpoint's tensors, and the names of those that the code computes."""
    c, patch, side = config["embed"], config["patch"], config["image"] // config["patch"]
    shapes: dict[str, list[int]] = {}
    computed = []

    def add(name: str, weight: list[int], bias: bool = True) -> None:
        shapes[f"{name}.weight"] = weight
        if bias:
            shapes[f"{name}.bias"] = weight[:1]

    add("patch_embed.proj", [c, 3, patch, patch])
    add("patch_embed.norm", [c])
    for s, (depth, heads) in enumerate(zip(config["depths"], config["heads"], strict=True)):
        window = min(config["window"], side)
        for b in range(depth):
            name = f"layers.{s}.blocks.{b}"
            add(f"{name}.norm1", [c])
            shapes[f"{name}.attn.relative_position_bias_table"] = [(2 * window - 1) ** 2, heads]
            computed += [f"{name}.attn.relative_position_index"]
            computed += [f"{name}.attn_mask"] if b % 2 and side > window else []
            add(f"{name}.attn.qkv", [3 * c, c])
            add(f"{name}.attn.proj", [c, c])
            add(f"{name}.norm2", [c])
            add(f"{name}.mlp.fc1", [4 * c, c])
            add(f"{name}.mlp.fc2", [c, 4 * c])
        if s + 1 < len(config["depths"]):
            add(f"layers.{s}.downsample.norm", [4 * c])
            add(f"layers.{s}.downsample.reduction", [2 * c, 4 * c], bias=False)
            c, side = 2 * c, side // 2
    add("norm", [c])
    add("head", [classes, c])
    return [[name, shape, "float32"] for name, shape in shapes.items()], computed
