"""Measures how long the full model takes to score one batch: the paper gives 62 ms, on GPUs (four 2080 Ti).

Run: python -m benchmarks.latency [--images 24] [--repeats 3] [--cpu-seconds] [--short]

A batch is 24 images, 12 pairs. Variables are random and inputs are constant: the time depends on neither. Depth
vectors are computed from the photo's five views, as for a new photo. Compiling and warming up are not counted.
"""

import argparse
import time

GIVEN = 0.062  # s per batch, section 4.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=24, help="in the batch")
    parser.add_argument("--repeats", type=int, default=3, help="timed batches")
    parser.add_argument("--cpu-seconds", action="store_true", help="CPU seconds of the process, not time passed")
    parser.add_argument("--short", action="store_true", help="two batches of 2 images")
    args = parser.parse_args()
    if args.short:
        args.images, args.repeats = 2, 2
    if min(args.images, args.repeats) < 1:
        parser.error("--images and --repeats must be at least 1")

    import jax

    from benchmarks.timing import in_turns, machine, spread

    step, batch, flop = _scoring(args.images)
    clock = time.process_time if args.cpu_seconds else time.perf_counter
    seconds = in_turns({"batch": lambda turn: jax.block_until_ready(step(batch))}, args.repeats, clock)["batch"]
    unit = "CPU seconds" if args.cpu_seconds else "seconds"
    print(f"{machine()}; jax {jax.__version__} on {jax.local_devices()[0].device_kind}")
    print(f"{args.images} images: {spread(seconds, digits=2)} {unit}, {flop / 1e12:.2f} TFLOP")
    print(
        f"The paper: {1000 * GIVEN:.0f} ms per batch on GPUs, {flop / GIVEN / 1e12:.1f} TFLOP/s if that is all of it."
    )


def _scoring(images: int):
    """Returns the compiled step of configs/full.py, a batch of `images`, and the floating point operations."""
    import jax
    import numpy as np

    from benchmarks.port_timing import flop
    from configs.full import get_config
    from data_builders.features.frozen_network import random_variables
    from ipa_jax.models import registry
    from ipa_jax.training.initial import example_inputs, with_resnet
    from ipa_jax.training.steps import make_score_step

    config = with_resnet(get_config())
    model, example = registry.build(config, dtype="float32"), example_inputs(config)
    shapes = jax.eval_shape(lambda key: model.init(key, example, train=False), jax.random.key(0))
    variables = jax.device_put({"batch_stats": {}} | dict(random_variables(shapes)))
    batch = jax.tree.map(lambda values: np.repeat(np.asarray(values), images, 0), example)
    traced = jax.jit(make_score_step(model)).trace(variables, batch)
    compiled = traced.lower().compile()
    return lambda given: compiled(variables, given), batch, flop(traced.jaxpr.jaxpr)


if __name__ == "__main__":
    main()
