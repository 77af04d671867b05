"""What saving the full model's state costs: what the training step waits for, and what goes on behind it.

Run: python -m benchmarks.checkpoints [--folder FOLDER] [--turns 3] [--short]

The state is that of configs/full.py, 1.49 GB of random numbers, and is saved as a run does. In turns: `save`, until the
step may go on and until all is on disk, and the bound, the same bytes hashed and written to one file. The share is that
of `train.checkpoint_minutes`. What is behind the step runs on cores that a training on a GPU leaves free.
"""

import argparse
import hashlib
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

GOAL = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="on the disk to measure (default: the system's temporary folder)")
    parser.add_argument("--turns", type=int, default=3, help="turns that count (default 3)")
    parser.add_argument("--short", action="store_true", help="one turn")
    args = parser.parse_args()

    from benchmarks.timing import machine, peak_gigabytes, spread
    from configs import full
    from ipa_jax.training.checkpoints import Checkpoints

    config = full.get_config()
    state = drawn(config)
    found: dict[str, list[float]] = {name: [] for name in ("wait", "wait, CPU", "done", "done, CPU", "bound")}
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        checkpoints = Checkpoints(Path(name))
        for turn in range(1 + (1 if args.short else args.turns)):
            wall, cpu = time.perf_counter(), time.process_time()
            told = {"step": turn, "seconds": 0.0, "seed": 0, "data": ""}
            checkpoints.save(turn, state.replace(step=state.step + turn), told, None)
            waited = time.perf_counter() - wall, time.process_time() - cpu
            checkpoints.wait()
            done = time.perf_counter() - wall, time.process_time() - cpu
            wall = time.perf_counter()
            written = plainly(state, Path(name) / "plain")
            for what, value in zip(found, (*waited, *done, time.perf_counter() - wall), strict=True):
                found[what] += [value] if turn else []  # the first turn warms up
        checkpoints.close()
    every = 60 * config.train.checkpoint_minutes
    print(f"{machine()}; a state of {written / 1e9:.2f} GB; seconds, median (lowest to highest)")
    rows = (("the step waits", "wait"), ("all is on disk", "done"), ("bound: hashed and written", "bound"))
    for title, what in rows:
        cpu = f", CPU {spread(found[f'{what}, CPU'], digits=2)}" if what != "bound" else ""
        print(f"  {title:26} {spread(found[what], digits=2)}{cpu}")
    for clock, suffix in (("on the clock", ""), ("in CPU time", ", CPU")):
        waits, done = (median(found[f"{what}{suffix}"]) / every for what in ("wait", "done"))
        met = "met" if waits < GOAL else "missed"
        print(f"{clock}: the step waits {waits:.2%} of {every / 60:.0f} minutes, goal under {GOAL:.0%}: {met}; "
              f"the whole save takes {done:.2%}")  # fmt: skip
    print(f"peak memory {peak_gigabytes():.1f} GB")


def drawn(config: Any) -> Any:
    """A TrainState of the config's shapes, random numbers on the host; nothing is compiled."""
    import jax
    import numpy as np

    from ipa_jax.models import registry
    from ipa_jax.training import optimizer, state
    from ipa_jax.training.initial import example_inputs

    model, example = registry.build(config, dtype="float32"), example_inputs(config)
    shapes = jax.eval_shape(lambda key: dict(model.init(key, example, train=False)), jax.random.key(0))
    tx = optimizer.optimizer(shapes["params"], config, 1000)
    shapes = jax.eval_shape(lambda variables: state.create(variables, tx, config.optim.ema), shapes)
    rng = np.random.default_rng(0)

    def draw(leaf: Any) -> np.ndarray:
        if leaf.dtype == np.float32:
            return rng.standard_normal(leaf.shape, np.float32)
        return np.zeros(leaf.shape, leaf.dtype)

    return jax.tree.map(draw, shapes)


def plainly(state: Any, file: Path) -> int:
    """Hashes the leaves and writes them one after the other, down to the disk; returns their bytes."""
    import os

    import jax

    written = 0
    with open(file, "wb") as out:
        for leaf in jax.tree.leaves(state):
            content = leaf.tobytes()
            hashlib.sha256(content)
            written += out.write(content)
        out.flush()
        os.fsync(out.fileno())
    return written


if __name__ == "__main__":
    main()
