"""The training step compiled for GPUs that need not be there: memory, sums over devices, donated buffers.

Run: python -m benchmarks.gpu_program [--card h100] [--devices 4] [--pairs 12] [--dtype bfloat16] [--config full]
     [--short]

XLA compiles for a card by its description alone. This needs the extra `cuda12` and Nvidia's `ptxas` on the PATH
(package nvidia-cuda-nvcc-cu12), no driver and no GPU. Without a card nothing is autotuned: products go to cuBLAS and
convolutions to cuDNN, whose scratch space the memory below leaves out. Times are not known.
"""

import argparse
import importlib
import os
import sys
import time

NEEDS = ("jax_cuda12_plugin",)  # the extra `cuda12`
# What XLA reads of a card: compute capability, multiprocessors, memory in GB, its GB/s, shared KB per multiprocessor
# and per block, MB of L2, clock in GHz, threads per multiprocessor.
CARDS = {
    "rtx2080ti": ((7, 5), 68, 11.0, 616, 64, 64, 5.5, 1.545, 1024),
    "a100": ((8, 0), 108, 80.0, 2039, 164, 163, 40, 1.41, 2048),
    "h100": ((9, 0), 132, 80.0, 3352, 228, 227, 50, 1.98, 2048),
}
FLAGS = "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false --xla_gpu_force_compilation_parallelism=1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--card", choices=tuple(CARDS), default="h100")
    parser.add_argument("--devices", type=int, default=4, help="cards (default 4)")
    parser.add_argument("--pairs", type=int, default=12, help="of a step, over all cards (default 12)")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--config", default="full", help="NAME or NAME:SIZE of configs/ (default full)")
    parser.add_argument("--resnet", choices=("train", "frozen", "cached"), default="train", help="config.model.depth")
    parser.add_argument("--save", help="a file for the program's text")
    parser.add_argument("--short", action="store_true", help="the tiny model")
    args = parser.parse_args()
    if args.short:
        args.config = "full:tiny"
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}"
    if args.pairs % args.devices:
        sys.exit(f"error: --pairs={args.pairs} is no multiple of --devices={args.devices}")

    from benchmarks import hlo

    begun = time.process_time()
    cards = topology(args.card, args.devices)
    compiled, parameters = compile_step(args.config, args.dtype, cards, args.pairs, args.resnet)
    text = compiled.as_text()
    if args.save:
        with open(args.save, "w") as file:
            file.write(text)
    stats = compiled.memory_analysis()
    print(f"{args.config} in {args.dtype}, {args.pairs} pairs over {args.devices} x {args.card}; ResNet {args.resnet}")
    print(f"compiled in {time.process_time() - begun:.0f} CPU seconds; {parameters:,} parameters")
    state, scratch = stats.argument_size_in_bytes / 1e9, stats.temp_size_in_bytes / 1e9
    print(f"memory per card: {state:.2f} GB of state and batch, {scratch:.2f} GB in the step")
    print(f"{len(hlo.donated(text))} buffers donated, {stats.alias_size_in_bytes / 1e9:.2f} GB")
    describe(hlo.all_reduces(text))
    print(f"additions without an order: {[line.name for line in hlo.scatters(text)] or 'none'}")


def describe(sums: list) -> None:
    """Prints how the sums over devices are spread."""
    large = [found for found in sums if found.bytes >= 1 << 20]
    print(f"all-reduces: {len(sums)}, {sum(found.bytes for found in sums) / 1e6:.1f} MB per step and card")
    small = sum(found.bytes for found in sums) - sum(found.bytes for found in large)
    print(f"  below 1 MiB: {len(sums) - len(large)}, {small / 1e6:.2f} MB")
    for found in large:
        beside = "blocking" if found.meanwhile is None else f"beside {found.meanwhile} kernels"
        print(f"  {found.bytes / 1e6:6.1f} MB of {found.arrays} arrays, {beside}")
    if waiting := [found.meanwhile for found in sums if found.meanwhile is not None]:
        alone = f"none beside {waiting.count(0)} of {len(waiting)}"
        print(f"  kernels beside one: {min(waiting)} to {max(waiting)}, {alone}")


def topology(card: str, count: int) -> list:
    """`count` cards of a kind, to compile for."""
    from jax.experimental import topologies

    text = description(*CARDS[card])
    return topologies.get_topology_desc("", "cuda", target_config=text, topology=f"1x1x{count}").devices


def compile_step(name: str, dtype: str, devices: list, pairs: int, resnet: str):
    """The step of a config (NAME or NAME:SIZE), compiled for these devices, and the number of its parameters."""
    import jax

    from ipa_jax.models import registry
    from ipa_jax.training import initial, optimizer, state
    from ipa_jax.training.steps import make_train_step

    file, _, size = name.partition(":")
    config = importlib.import_module(f"configs.{file}").get_config(size or "full")
    config.model.dtype, config.model.depth.resnet, config.init.random = dtype, resnet, True
    config.train.remat = "never"  # the default, "cpu", looks at the machine that compiles
    variables = jax.eval_shape(lambda: initial.initial_variables(config))
    tx = optimizer.optimizer(variables["params"], config, 1000)
    whole = jax.eval_shape(lambda values: state.create(values, tx, config.optim.ema), variables)
    copies = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((len(devices), *leaf.shape), leaf.dtype), whole)
    step = make_train_step(registry.build(config), tx, config, 1.0, devices)
    batch = batch_of(config, len(devices), pairs // len(devices))
    return step.lower(copies, batch).compile(), optimizer.parameter_count(whole.params)  # type: ignore[attr-defined]


def batch_of(config, devices: int, pairs: int) -> dict:
    """Shapes of a step's batch, as ipa_jax.input.batches gives it for configs/full.py."""
    import jax

    crop, side, k = config.input.crop, config.data.depth.side, config.data.retrieval.k
    of_image = {
        "image": ((crop, crop, 3), "uint8"), "depth": ((side, side), "uint16"), "window": ((3,), "float32"),
        "flip": ((), "bool"), "similarity": ((k,), "float32"), "local": ((k,), "float32"), "count": ((k,), "float32"),
        "retrieved_mask": ((k,), "bool"), "depth_vectors": ((5, 32 * config.model.depth.width), "float32"),
        "slot_mask": ((), "bool"), "log_likes": ((), "float32"), "pair_weight": ((2,), "float32"),
        "slot": ((), "int32"),
    }  # fmt: skip
    unread = "depth" if config.model.depth.resnet == "cached" else "depth_vectors"
    return {
        name: jax.ShapeDtypeStruct((devices, pairs, 2, *shape), dtype)
        for name, (shape, dtype) in of_image.items()
        if name != unread
    }


def description(capability, cores, memory, bandwidth, shared, shared_block, cache, clock, threads) -> str:
    """A card as XLA's GpuTargetConfigProto in text."""
    return f"""
    gpu_device_info {{
      threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: {threads}
      shared_memory_per_block: 49152 shared_memory_per_core: {shared * 1024}
      shared_memory_per_block_optin: {shared_block * 1024}
      core_count: {cores} fpus_per_core: {64 if capability < (9, 0) else 128} clock_rate_ghz: {clock}
      block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
      memory_bandwidth: {int(bandwidth * 1e9)} l2_cache_size: {int(cache * 2**20)}
      device_memory_size: {int(memory * 1e9)}
      cuda_compute_capability {{ major: {capability[0]} minor: {capability[1]} }}
      registers_per_core_limit: 65536 registers_per_block_limit: 65536
    }}
    platform_name: "CUDA"
    dnn_version_info {{ major: 9 minor: 8 patch: 0 }}
    """


if __name__ == "__main__":
    main()
