"""The two sides of training_step: a step of the whole model in JAX, this project's own, and one in PyTorch.

Importing this loads neither jax nor torch. PyTorch's side is timm's Swin-B and ResNet50, PyTorch's encoder layers,
AdamW with the same parameter groups, and clipping: as many parameters and products as ours. Weights are random.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.port_timing import flop
from configs.full import get_config

Step = Callable[[], float]  # takes one training step, waits for it, and returns the loss


def batch(images: int) -> dict[str, np.ndarray]:
    """A step's input as training reads it: [packs, 2, ...], all photos and depth maps noise."""
    config, draw = get_config(), np.random.default_rng(0)
    packs, crop, side, k = images // 2, config.input.crop, config.data.depth.side, config.data.retrieval.k
    number = lambda *shape: draw.random((packs, 2, *shape), np.float32)  # noqa: E731
    return {
        "image": draw.integers(0, 256, (packs, 2, crop, crop, 3), np.uint8),
        "slot": np.arange(images, dtype=np.int32).reshape(packs, 2),
        "slot_mask": np.ones((packs, 2), bool),
        "similarity": number(k),
        "local": 1 + number(k),
        "count": 1 + number(k),
        "retrieved_mask": np.ones((packs, 2, k), bool),
        "depth": draw.integers(0, 65536, (packs, 2, side, side), np.uint16),
        "window": np.tile(np.float32([0, 0, 1]), (packs, 2, 1)),
        "flip": np.zeros((packs, 2), bool),
        "log_likes": np.log(10 + 1000 * number()),
        "pair_weight": np.tile(np.float32([[0, 1], [0, 0]]), (packs, 1, 1)),
    }


def ours(images: int, remat: bool, cache: str | None) -> tuple[Step, dict[str, Any]]:
    """The step as ipa_jax.train takes it, in float32, and {"parameters", "flop"}. `cache`: of compiled programs."""
    from ipa_jax.training.host_memory import keep_freed_memory

    keep_freed_memory()
    import jax

    from ipa_jax.models import registry
    from ipa_jax.training import optimizer, state
    from ipa_jax.training.devices import to_devices, to_host
    from ipa_jax.training.initial import initial_variables
    from ipa_jax.training.steps import make_train_step

    if cache:
        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    config = get_config()
    with config.unlocked():
        config.model.dtype, config.init.random, config.train.remat = "float32", True, "always" if remat else "never"
    variables = initial_variables(config)
    found = {"parameters": optimizer.parameter_count(variables["params"])}
    tx = optimizer.optimizer(variables["params"], config, 1000)
    held = {"state": to_devices(state.create(variables, tx, config.optim.ema), jax.devices()[:1])}
    del variables
    spread = {name: value[None] for name, value in batch(images).items()}
    step = make_train_step(registry.build(config), tx, config, float(images), jax.devices()[:1])

    def take() -> float:
        held["state"], metrics = step(held["state"], spread)
        return float(to_host(metrics).loss.total)

    return take, found


def products(images: int) -> float:
    """Floating point operations of the matrix products and convolutions of a step: what the bound is made of."""
    import jax

    from ipa_jax.models import registry
    from ipa_jax.training.initial import example_inputs
    from ipa_jax.training.steps import flatten_packs

    config = get_config()
    model = registry.build(config, dtype="float32")
    shapes = jax.eval_shape(lambda key: model.init(key, example_inputs(config), train=False), jax.random.key(0))
    inputs = jax.eval_shape(flatten_packs, batch(images))

    def loss_and_slopes(variables, inputs):
        def scored(params):
            (z, _), _ = model.apply(variables | {"params": params}, inputs, train=True, mutable=["batch_stats"])
            return z.sum()

        return jax.value_and_grad(scored)(variables["params"])

    return flop(jax.make_jaxpr(loss_and_slopes)(shapes, inputs).jaxpr)


def torchs(images: int, compiled: bool) -> tuple[Step, dict[str, Any]]:
    """PyTorch's step, eager or through torch.compile, and {"parameters"}."""
    import os

    import torch

    from benchmarks.torch_model import Popularity

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    config = get_config()
    model = Popularity(config.model).train()
    model.resnet.to(memory_format=torch.channels_last)  # as fast as the other layout, and leaves no doubt
    optim = config.optim
    groups: dict[tuple[bool, bool], list] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault((name.startswith("swin."), parameter.ndim > 1 and "table" not in name), []).append(parameter)
    optimizer = torch.optim.AdamW(
        [{"params": listed, "lr": 1e-5 if swin else 1e-4, "weight_decay": optim.weight_decay if decays else 0.0}
         for (swin, decays), listed in groups.items()],
        betas=(optim.b1, optim.b2), fused=True,
    )  # fmt: skip
    tensors = {name: torch.from_numpy(value.astype(np.int32) if value.dtype == np.uint16 else value)
               for name, value in batch(images).items()}  # fmt: skip
    run = torch.compile(model.loss) if compiled else model.loss

    def take() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = run(tensors)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), optim.clip_norm)
        optimizer.step()
        return float(loss.detach())

    return take, {"parameters": sum(parameter.numel() for parameter in model.parameters())}
