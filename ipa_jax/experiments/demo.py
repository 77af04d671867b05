"""The whole job on a drawn world, end to end: draw, build, train, evaluate, export, report.

    ipa-jax demo --out=runs/demo                                        what `make demo` runs
    ipa-jax demo --out=runs/seeds --seeds=0,1,2 --configs=basic,full    several worlds, test groups pooled

Each step is a command that is printed as it runs, so you can run it by hand. You can stop at any time; the same command
resumes. The world seed is also the training seed.
"""

import sys
from argparse import Namespace

from ipa_jax.experiments import flags
from third_party_ports.cli import command


@command(resumes=True)
def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    parser = flags.parser("demo", __doc__, seeds=[0])
    flags.add_configs(parser, "the models to train, by shipped config (default: basic,full)", ["basic", "full"])
    return flags.exit_status(make, parser.parse_args(argv), flags.command_line("demo", argv))


def make(args: Namespace, command: str) -> None:
    """Runs the missing steps, then writes the results. Raises ValueError, OSError and StageError."""
    import time

    from data_builders.cli import shipped_configs
    from ipa_jax.experiments.demo_job import Demo, check_export, make_worlds, pooled_results, report, table
    from third_party_ports import files, seals

    began = time.monotonic()
    if unknown := [name for name in args.configs if name not in shipped_configs()]:
        raise flags.UsageError(f"--configs: no config {unknown[0]!r}; the configs are {', '.join(shipped_configs())}")
    demo = Demo(args.out, args.seeds, args.configs, args.accounts, args.posts, args.size)
    alone = len(demo.seeds) == 1
    make_worlds(demo)
    for name in demo.configs if alone else ():
        check_export(demo.out / name)

    results = pooled_results(demo)
    seconds = round(time.monotonic() - began, 1)
    results |= {"seed": demo.seeds[0] if alone else list(demo.seeds), "seconds": seconds}
    text = table(results)
    seals.write_json(demo.out / "results.json", results)
    files.write_text(demo.out / "table.md", text + "\n")
    print("\n" + text)
    if alone:
        print(f"\nreport: {report(demo, results)}")
    print(f"results: {demo.out / 'results.json'} ({seconds:.0f} s)")


if __name__ == "__main__":
    sys.exit(main())
