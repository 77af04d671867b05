"""Trains, evaluates and exports one model.

    python -m ipa_jax.main --config=configs/full.py --workdir=runs/full --config.data_dir=DATA

Any field of the config can be set: --config.loss.name=ratio_log. To resume, run the same command again.
"""

import sys
from contextlib import nullcontext
from pathlib import Path

from data_builders.cli import ConfigParser
from third_party_ports.cli import add_verify, command, fail, whole_number


@command(resumes=True)
def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = ConfigParser("train", __doc__)
    parser.add_argument("--workdir", type=Path, required=True, help="folder of checkpoints, metrics, results, export")
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0, where several processes train")
    parser.add_argument("--processes", type=whole_number(1), default=1, help="how many processes train together")
    parser.add_argument("--process", type=whole_number(0), default=0, help="which of them this is")
    add_verify(parser)
    args = parser.parse_args(argv)

    import jax
    from absl import logging

    from ipa_jax import train
    from ipa_jax.training import workdir

    logging.set_verbosity(logging.WARNING)  # orbax reports each file at INFO
    if args.coordinator:
        jax.distributed.initialize(args.coordinator, args.processes, args.process)
    try:
        with workdir.held(args.workdir) if args.process == 0 else nullcontext():
            results = train.run(args.config, args.workdir, args.verify)
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        return fail(error)
    low, high = results["test"]["accuracy_interval"]
    print(f"test pairwise accuracy {results['test']['accuracy']:.4f} (95 % {low:.4f} to {high:.4f})")
    data_dir = f"--data_dir={args.config.data_dir}"
    print(f"next: python -m ipa_jax evaluate --export={args.workdir}/export {data_dir} --split=test")
    return 0


if __name__ == "__main__":
    sys.exit(main())
