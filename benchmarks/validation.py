"""What validation takes of the training time: counted at the paper's size, measured at the demo's.

Run: python -m benchmarks.validation [--accounts 24] [--turns 5] [--dearer 1] [--short]

The evaluations of a run are those of ipa_jax/training/schedule.py for the paper's counts and configs/full.py. Scoring
an image is a forward pass, and training on one is three: forward, and backward at twice its cost. The reference is an
evaluation on the whole split at each look, as before `eval.part`. What a forward pass really costs next to a step is
measured on a drawn world: a step of configs/full.py:demo and a scoring of its validation split, reading included, in
turns, CPU seconds per image. --dearer tells how many times as long a forward pass takes in `eval.dtype` as in
`model.dtype`: 1 on a CPU, where both are float32; on a GPU float32 at highest precision costs several times bfloat16.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

PAIRS, VALIDATION = 521_195, 71_071  # of the paper (section 4.1): pairs of the train split, images of validation
STEPS = 4  # of a turn
GOAL = 0.10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=24, help="of the drawn world (default 24)")
    parser.add_argument("--turns", type=int, default=5, help="turns that count (default 5)")
    parser.add_argument("--dearer", type=float, default=1.0, help="a forward pass in eval.dtype costs (default 1)")
    parser.add_argument("--short", action="store_true", help="a small world, one turn")
    args = parser.parse_args()
    if args.short:
        args.accounts, args.turns = 6, 1

    from benchmarks.timing import machine, spread
    from benchmarks.worlds import drawn
    from configs import full

    counts = {"as it is": counted(full.get_config()), "each look at all": counted(full.get_config(), part=0)}
    for name, (trained, scored) in counts.items():
        share = args.dearer * scored / (3 * trained)
        print(f"{name}: {scored:,} images scored, {trained:,} trained on: {share:.1%} of the training time")
    with tempfile.TemporaryDirectory() as folder:
        seconds = measured(drawn(Path(folder) / "world", args.accounts, 40, 48, 48), args.turns)
    print(f"{machine()}\nCPU ms per image, median (lowest to highest)")
    for name, values in seconds.items():
        print(f"  {name:6} {spread(values, 1e3, digits=2)}")
    forward = median(seconds["score"]) / median(seconds["train"])
    trained, scored = counts["as it is"]
    share = args.dearer * forward * scored / trained
    print(f"measured, scoring costs {forward:.2f} of a training step per image, so validation {share:.1%} of the time; "
          f"goal {GOAL:.0%} at most: {'met' if share <= GOAL else 'missed'}")  # fmt: skip


def counted(config, part: int | None = None) -> tuple[int, int]:
    """(images trained on, images scored in validation) of a run of the paper's size, by pairs."""
    from ipa_jax.training.schedule import WHOLE, Evaluations

    if part is not None:
        config.eval.part = part
    total = round(PAIRS * config.train.epochs / config.batch.pairs)
    evaluations = Evaluations.for_run(config, total)
    looks = [look for step in range(1, total + 1) if (look := evaluations.at(step))]
    scored = sum(VALIDATION if look == WHOLE else config.eval.part for look in looks)
    return 2 * config.batch.pairs * total, scored


def measured(data_dir: Path, turns: int) -> dict[str, list[float]]:
    """CPU seconds per image of training and of scoring, at the demo's size."""
    import itertools

    import jax

    from benchmarks.timing import in_turns
    from configs import full
    from data_builders.dataset import GroupDataset
    from ipa_jax.input import batches, packing
    from ipa_jax.models import registry
    from ipa_jax.training import optimizer, state
    from ipa_jax.training.devices import to_devices, to_host
    from ipa_jax.training.initial import initial_variables
    from ipa_jax.training.scorer import Scorer
    from ipa_jax.training.steps import make_train_step

    config = full.get_config("demo")
    config.data_dir, config.train.epochs = str(data_dir), 1000.0
    train, validation = (GroupDataset(data_dir, split) for split in ("train", "validation"))
    plan = batches.train_plan(train, config)
    variables = initial_variables(config)
    tx = optimizer.optimizer(variables["params"], config, packing.total_steps(plan, config.train.epochs))
    held = [to_devices(state.create(variables, tx, config.optim.ema), jax.devices())]
    step = make_train_step(registry.build(config), tx, config, packing.loss_scale(plan))
    reader = batches.train_batches(train, config, start_step=0, process_index=0, process_count=1, plan=plan)
    scorer, images = Scorer(config), 0

    def train_steps() -> None:
        nonlocal images
        for batch in itertools.islice(reader, STEPS):
            spread = {k: v[None] for k, v in batch.items() if k not in ("record", "position")}
            held[0], metrics = step(held[0], spread)
            to_host(metrics)
            images += int(batch["slot_mask"].sum())

    seconds = in_turns(
        {"train": lambda _: train_steps(), "score": lambda _: scorer.scores(variables, validation)}, turns
    )
    each = {"train": images / (turns + 1), "score": len(validation.images)}
    return {name: [value / each[name] for value in values] for name, values in seconds.items()}


if __name__ == "__main__":
    main()
