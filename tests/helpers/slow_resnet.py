"""ResNet with bottleneck blocks in plain numpy, float64, NCHW: independent answers for networks of any size."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Tensors = dict[str, np.ndarray]


def convolved(x: np.ndarray, kernel: np.ndarray, stride: int = 1) -> np.ndarray:
    """[N, C, H, W] and [O, C, k, k] -> [N, O, H', W'], padded by k // 2 on all sides."""
    pad = kernel.shape[-1] // 2
    windows = sliding_window_view(np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad))), kernel.shape[2:], (2, 3))
    return np.einsum("nchwij,ocij->nohw", windows[:, :, ::stride, ::stride], kernel, optimize=True)


def normed(x: np.ndarray, t: Tensors, name: str, epsilon: float = 1e-5) -> np.ndarray:
    mean, var, scale, bias = (
        t[f"{name}.{key}"][:, None, None].astype(np.float64)
        for key in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / np.sqrt(var + epsilon) * scale + bias


def answers(images: np.ndarray, t: Tensors) -> dict[str, np.ndarray]:
    """Normalised images [N, 3, H, W] -> every tap of the network by name."""
    x = np.maximum(normed(convolved(images, t["conv1.weight"], 2), t, "bn1"), 0)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    x = sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::2, ::2].max((-2, -1))
    taps = {"stem": x}
    blocks = sorted({tuple(map(int, name[5:].split(".")[:2])) for name in t if name.startswith("layer")})
    for stage, block in blocks:
        name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
        shortcut = x
        if block == 0:
            shortcut = normed(convolved(x, t[f"{name}.downsample.0.weight"], stride), t, f"{name}.downsample.1")
        x = np.maximum(normed(convolved(x, t[f"{name}.conv1.weight"]), t, f"{name}.bn1"), 0)
        x = np.maximum(normed(convolved(x, t[f"{name}.conv2.weight"], stride), t, f"{name}.bn2"), 0)
        x = np.maximum(normed(convolved(x, t[f"{name}.conv3.weight"]), t, f"{name}.bn3") + shortcut, 0)
        taps[f"layer{stage}_{block}"] = taps[f"layer{stage}"] = x
    pooled = x.mean((2, 3))
    return taps | {"pooled": pooled, "logits": pooled @ t["fc.weight"].T + t["fc.bias"]}


def tensor_list(stage_sizes: tuple[int, ...], width: int, classes: int) -> list[list]:
    """[name, shape, dtype] of all tensors of the official checkpoint."""

    def norm(name: str, channels: int) -> list[list]:
        parts = [[f"{name}.{key}", [channels], "float32"] for key in ("weight", "bias", "running_mean", "running_var")]
        return [*parts, [f"{name}.num_batches_tracked", [], "int64"]]

    tensors, inside = [["conv1.weight", [width, 3, 7, 7], "float32"], *norm("bn1", width)], width
    for stage, blocks in enumerate(stage_sizes, 1):
        w = width * 2 ** (stage - 1)
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            for n, shape in enumerate(([w, inside, 1, 1], [w, w, 3, 3], [4 * w, w, 1, 1]), 1):
                tensors += [[f"{name}.conv{n}.weight", shape, "float32"], *norm(f"{name}.bn{n}", shape[0])]
            if block == 0:
                tensors += [[f"{name}.downsample.0.weight", [4 * w, inside, 1, 1], "float32"]]
                tensors += norm(f"{name}.downsample.1", 4 * w)
            inside = 4 * w
    return [*tensors, ["fc.weight", [classes, inside], "float32"], ["fc.bias", [classes], "float32"]]
