"""Measures one row of `port_rows` in this process: JAX and PyTorch in turns, or one of them alone for its memory."""

import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.port_rows import ROWS, Counterpart, Port, Row

BFLOAT16_PEAKS = {  # TFLOP/s, dense, by a part of jax's device_kind; the first match counts
    "B200": 2250,
    "H200": 989,
    "H100 PCIe": 756,
    "H100 NVL": 835,
    "H100": 989,
    "A100": 312,
    "L40S": 362,
    "L4": 121,
    "A10G": 70,
    "RTX 4090": 165,
    "RTX 3090": 71,
}


def measure(
    name: str,
    frameworks: Sequence[str],
    batch: int | None,
    repeats: int,
    dtype: str,
    layout: str | None = None,
    cpu_seconds: bool = False,
) -> dict[str, Any]:
    """Measures times and peak memory of a row. Call it first in a new process.

    Args:
      frameworks: "jax", "torch" or both. Both get the same tensors, and their calls alternate.
      batch: inputs per call; None: the row's own for the device.
      repeats: timed calls of each, after warming up.
      cpu_seconds: measures the process's CPU seconds instead of time passed.
      layout: of PyTorch's maps, "contiguous" or "channels_last"; None tries both and keeps the faster one.

    Returns:
      `platform`, `device`, `threads`, `batch`, `seconds` (a list per framework), `first` (seconds of compiling and the
      first call), `peak_bytes` (of the process, or of a GPU), `layout`, `flop` (of an input's matrix products and
      convolutions), `peak_flops` (None if unknown), and with both frameworks `error`: ||jax - torch|| / ||torch||, the
      largest of all outputs.
    """
    import jax

    row, device = ROWS[name], jax.local_devices()[0]
    gpu = device.platform == "gpu"
    batch = batch or row.batches[gpu]
    inputs = np.random.default_rng(0).standard_normal((batch, *row.shape), np.float32)
    found = {"platform": device.platform, "device": device.device_kind, "batch": batch, "first": {}}
    found["threads"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    steps, tensors = {}, None
    if "torch" in frameworks:
        begun = time.perf_counter()
        counterpart = _counterpart(row)
        if "jax" in frameworks:
            tensors = {key: tensor.numpy() for key, tensor in counterpart.module.state_dict().items()}
            tensors = counterpart.official(tensors)
        steps["torch"], found["layout"] = _torch_step(counterpart, inputs, dtype, gpu, found["threads"], layout)
        found["first"]["torch"] = time.perf_counter() - begun
    if "jax" in frameworks:
        begun = time.perf_counter()
        steps["jax"], found["flop"] = _jax_step(row, inputs, dtype, tensors)
        found["first"]["jax"] = time.perf_counter() - begun
        peaks = (peak for part, peak in BFLOAT16_PEAKS.items() if part in device.device_kind)
        found["peak_flops"] = next(peaks, 0) * 1e12 if gpu and dtype == "bfloat16" else None

    clock = time.process_time if cpu_seconds else time.perf_counter
    outputs = {framework: step() for framework, step in steps.items()}
    if len(steps) == 2:
        found["error"] = _error(jax.tree.leaves(outputs["jax"]), jax.tree.leaves(outputs["torch"]))
    outputs.clear()
    found["seconds"] = {framework: [] for framework in steps}
    for n in range(repeats):
        for framework in sorted(
            steps, reverse=bool(n % 2)
        ):  # take turns, because the first warms up the machine for the second
            begun = clock()
            steps[framework]()
            found["seconds"][framework].append(clock() - begun)
    found["peak_bytes"] = _peak_bytes(frameworks[0], gpu)
    return found


def _jax_step(row: Row, inputs: np.ndarray, dtype: str, tensors: Any) -> tuple[Callable[[], Any], float]:
    """Returns a compiled call that waits for its results, and the floating point operations of one input."""
    import jax
    import jax.numpy as jnp

    from data_builders.features.frozen_network import random_variables
    from third_party_ports.checkpoints.weights import from_state_dict

    port: Port = row.port(jnp.dtype(dtype))
    variables = from_state_dict(port.keys, tensors, port.shapes) if tensors else random_variables(port.shapes)
    variables, inputs = jax.device_put((variables, inputs))
    with jax.default_matmul_precision("highest" if dtype == "float32" else "default"):  # float32, not TF32
        traced = jax.jit(port.function).trace(variables, inputs)
    compiled = traced.lower().compile()
    return lambda: jax.block_until_ready(compiled(variables, inputs)), flop(traced.jaxpr.jaxpr) / len(inputs)


def flop(jaxpr: Any) -> float:
    """Counts the floating point operations of the matrix products and convolutions of a jaxpr.

    XLA's cost_analysis counts a loop's body once, however often it runs. This counts each turn of a `scan`; a `while`
    still counts once, because its number of turns is unknown.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        name, parameters = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = parameters["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * equation.outvars[0].aval.size * np.prod([shape[axis] for axis in contracted])
        elif name == "conv_general_dilated":
            kernel = equation.invars[1].aval
            features = kernel.shape[parameters["dimension_numbers"].rhs_spec[0]]
            total += 2 * equation.outvars[0].aval.size * kernel.size / features
        elif parameters.get("name") == "tiled_convolution":  # counts as the plain convolution that it stands for
            # A scan splits off the constants, so the kernel is not always the second of two arguments.
            kernels = [one.aval for one in equation.invars if one.aval.ndim == 4 and one.aval.shape[:2] == (3, 3)]
            for kernel in kernels[-1:]:
                total += 2 * equation.outvars[0].aval.size * np.prod(kernel.shape[:3])
            continue
        for inner in parameters.values():
            for part in inner if isinstance(inner, tuple) else (inner,):
                part = getattr(part, "jaxpr", part)
                if hasattr(part, "eqns"):
                    total += flop(part) * (parameters["length"] if name == "scan" else 1)
    return total


def _counterpart(row: Row) -> Counterpart:
    """Returns PyTorch's network with tensors that both frameworks can make again."""
    import torch

    from third_party_ports.parity import recipe

    counterpart = row.torch()
    for name, tensor in counterpart.module.state_dict().items():
        values = recipe.tensor(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), gain=row.gain)
        tensor.copy_(torch.from_numpy(np.asarray(values)))
    return counterpart._replace(module=counterpart.module.eval())


def _torch_step(
    counterpart: Counterpart, inputs: np.ndarray, dtype: str, gpu: bool, threads: int, layout: str | None
) -> tuple[Callable[[], Any], str]:
    """Returns a warm call that waits for its results, and the memory layout that it uses."""
    import torch

    if gpu and not torch.cuda.is_available():
        raise RuntimeError(
            "jax sees a GPU, but torch does not: install a CUDA build of torch, or set JAX_PLATFORMS=cpu"
        )
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32, as in JAX
    torch.backends.cudnn.benchmark = True
    place = {"device": "cuda" if gpu else "cpu", "dtype": getattr(torch, dtype)}
    counterpart.module.to(**place)
    images = torch.from_numpy(np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))).to(**place)

    def step(images=images):
        with torch.inference_mode():
            results = counterpart.function(images)
        if gpu:
            torch.cuda.synchronize()
        return results

    seconds = {}
    for name in ("contiguous", "channels_last") if layout is None else (layout,):
        arranged = _arrange(counterpart, images, name)
        step(arranged)
        begun = time.perf_counter()
        step(arranged)
        seconds[name] = time.perf_counter() - begun
    best = min(seconds, key=seconds.get)
    arranged = _arrange(counterpart, images, best)
    return lambda: step(arranged), best


def _arrange(counterpart: Counterpart, images: Any, layout: str) -> Any:
    import torch

    form = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}[layout]
    counterpart.module.to(memory_format=form)
    return images.contiguous(memory_format=form)


def _error(ours: list[Any], theirs: list[Any]) -> float:
    """Returns the largest relative difference of the outputs. Our maps are NHWC, PyTorch's NCHW."""
    errors = []
    for one, other in zip(ours, theirs, strict=True):
        other = other.float().cpu().numpy().astype(np.float64)
        other = other.transpose(0, 2, 3, 1) if other.ndim == 4 else other
        difference = np.asarray(one, np.float64) - other
        errors.append(float(np.linalg.norm(difference) / np.linalg.norm(other)))
    return max(errors)


def _peak_bytes(framework: str, gpu: bool) -> int:
    if not gpu:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    if framework == "jax":
        import jax

        return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]
    import torch

    return torch.cuda.max_memory_allocated()
