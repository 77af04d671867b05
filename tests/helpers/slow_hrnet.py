"""HRNet's layers position by position, and variables that keep values alive."""

import jax
import numpy as np


def images(count: int, height: int = 32, width: int = 48) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(count, height, width, 3)).astype(np.float32)


def filled(network, *inputs) -> dict:
    """Variables of random numbers that keep values alive through many layers; to compile init would cost seconds."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(network.init, jax.random.key(0), *inputs)

    def fill(path, leaf):
        if path[-1].key == "kernel":
            values = rng.normal(0, 1.5 / np.sqrt(np.prod(leaf.shape[-4:-1])), leaf.shape)
        elif path[-1].key in ("scale", "var"):
            values = rng.uniform(0.5, 1.5, leaf.shape)
        else:
            values = rng.normal(0, 0.3, leaf.shape)
        return values.astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def slow_conv(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """3x3, one pixel of zeros on every side; position by position."""
    n, h, w, _ = x.shape
    padded = np.zeros((n, h + 2, w + 2, x.shape[-1]))
    padded[:, 1:-1, 1:-1] = x
    out = np.zeros((n, h // stride, w // stride, kernel.shape[-1]))
    for y in range(out.shape[1]):
        for z in range(out.shape[2]):
            window = padded[:, y * stride : y * stride + 3, z * stride : z * stride + 3]
            out[:, y, z] = np.einsum("nabi,abio->no", window, kernel)
    return out


def slow_norm(x: np.ndarray, variables: dict, name: str) -> np.ndarray:
    weights, statistics = variables["params"][name], variables["batch_stats"][name]
    deviation = np.sqrt(statistics["var"] + 1e-5)
    return (x - statistics["mean"]) / deviation * weights["scale"] + weights["bias"]
