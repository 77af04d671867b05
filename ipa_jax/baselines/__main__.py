"""Baselines of a data set, as a table."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ipa_jax.baselines.scores import yardsticks
from third_party_ports.cli import Parser, fail, whole_number

if TYPE_CHECKING:
    pass


def print_table(results: Mapping[str, dict], title: str) -> None:
    """Prints `yardsticks` with rich."""
    from rich.console import Console
    from rich.table import Table

    one = next(iter(results.values()))
    caption = f"{one['pairs']} pairs of {one['groups']} groups; 95 % intervals over {one['interval_over']}"
    table = Table("yardstick", title=title, caption=caption)
    for name in ("accuracy %", "95 %", "PLCC", "SRCC", "Ratio MSE"):
        table.add_column(name, justify="right")
    for name, result in results.items():
        interval = " to ".join(f"{100 * x:.2f}" for x in result["accuracy_interval"])
        figures = [f"{result[x]:.4f}" for x in ("plcc", "srcc", "ratio_mse")]
        table.add_row(name, f"{100 * result['accuracy']:.2f}", interval, *figures)
    Console().print(table)


def main(argv: list[str] | None = None) -> int:
    parser = Parser("baselines", __doc__)
    parser.add_argument("--data_dir", required=True, help="what data_builders.build wrote")
    parser.add_argument("--world", type=Path, help="demo world that the data came from: adds what its truth says")
    parser.add_argument("--export", type=Path, help="export/ of a trained model: adds kNN on its backbone's features")
    parser.add_argument("--split", default="test", choices=["validation", "test"])  # train has the labels
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of chance and of the bootstrap")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the table")
    args = parser.parse_args(argv)

    from data_builders.dataset import GroupDataset

    try:
        train = GroupDataset(args.data_dir, "train", depth=False)
        dataset = GroupDataset(args.data_dir, args.split, depth=False)
        results = yardsticks(dataset, train, args.world, export=args.export, seed=args.seed)
    except (ValueError, OSError) as error:
        return fail(error)
    if args.json:
        print(json.dumps(results))
    else:
        print_table(results, f"Yardsticks, {args.split} split of {args.data_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
