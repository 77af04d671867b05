"""Trains, evaluates and exports one model.

    python -m ipa_jax train --config=configs/full.py --workdir=runs/full --config.data_dir=DATA

Any field of the config can be set: --config.loss.name=ratio_log. The same command again goes on where it stopped.
"""

import sys
from contextlib import nullcontext
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from data_builders.cli import parse_flags

_CONFIG = config_flags.DEFINE_config_file("config", None, "A file of configs/, as FILE or FILE:SIZE.", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, metrics, results, export.")
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, where several processes train.")
_PROCESSES = flags.DEFINE_integer("processes", 1, "How many processes train together.")
_PROCESS = flags.DEFINE_integer("process", 0, "Which of them this is.")


def main(argv: list[str]) -> int:
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    logging.set_verbosity(logging.WARNING)  # orbax reports each file at INFO
    if _COORDINATOR.value:
        import jax

        jax.distributed.initialize(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
    from ipa_jax import train
    from ipa_jax.training import workdir as workdirs

    workdir = Path(_WORKDIR.value)
    try:
        with workdirs.held(workdir) if _PROCESS.value == 0 else nullcontext():
            results = train.run(_CONFIG.value, workdir)
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    low, high = results["test"]["accuracy_interval"]
    print(f"test pairwise accuracy {results['test']['accuracy']:.4f} (95 % {low:.4f} to {high:.4f})")
    data_dir = f"--data_dir={_CONFIG.value.data_dir}"
    print(f"next: python -m ipa_jax evaluate --export={_WORKDIR.value}/export {data_dir} --split=test")
    return 0


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main, flags_parser=parse_flags)
