"""Scores the baselines on a data set: chance, neighbours, metadata, and what a demo world's truth allows.

python -m ipa_jax baselines --data_dir DATA [--world WORLD] [--export EXPORT] [--split test] [--json] [--out FILE]
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from third_party_ports.cli import Parser, command, fail, new_file, whole_number


@command()
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = Parser("baselines", __doc__)
    parser.add_argument("--data_dir", required=True, help="a data set that `ipa-jax build` wrote")
    parser.add_argument("--world", type=Path, help="the demo world that the data came from: adds what its truth says")
    parser.add_argument("--export", type=Path, help="export/ of a trained model: adds neighbours by its backbone")
    parser.add_argument("--split", default="test", choices=["validation", "test"])  # train gave the labels
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of chance and of the bootstrap")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--out", type=new_file, help="file to write the JSON object to, for `ipa-jax report`")
    args = parser.parse_args(argv)

    from data_builders.dataset import GroupDataset
    from ipa_jax.baselines.scores import baseline_figures
    from third_party_ports.files import write_text

    try:
        train = GroupDataset(args.data_dir, "train", depth=False)
        dataset = GroupDataset(args.data_dir, args.split, depth=False)
        results = baseline_figures(dataset, train, args.world, export=args.export, seed=args.seed)
        if args.out:
            write_text(args.out, json.dumps(results) + "\n")
    except (ValueError, OSError) as error:
        return fail(error)
    if args.json:
        print(json.dumps(results))
    else:
        print_table(results, f"Baselines, {args.split} split of {args.data_dir}")
    return 0


def print_table(results: Mapping[str, Mapping[str, Any]], title: str) -> None:
    """Prints the figures of `scores.baseline_figures`."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ipa_jax.baselines.names import BASELINES
    from ipa_jax.metrics.display import interval, number
    from ipa_jax.metrics.registry import METRICS

    one = next(iter(results.values()))
    caption = f"{one['pairs']} pairs of {one['groups']} groups; 95 % intervals over {one['interval_over']}"
    table = Table("baseline", title=escape(title), caption=caption, box=SIMPLE_HEAD, collapse_padding=True)
    shown = [name for name in METRICS if name in one]
    for name in shown:
        heading = METRICS[name].heading + " %" * METRICS[name].percent
        for text in (heading, "95 %") if name == "accuracy" else (heading,):
            table.add_column(text, justify="right")
    for name, result in results.items():
        cells = []
        for metric in shown:
            row = METRICS[metric]
            cells.append(number(result[metric], row.digits, row.percent).removesuffix(" %"))
            if metric == "accuracy":
                cells.append(interval(result["accuracy_interval"], row.digits, row.percent))
        table.add_row(BASELINES[name].title, *cells)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
