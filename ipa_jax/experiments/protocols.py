"""Four protocols side by side, and what leaks are worth in accuracy, on demo worlds.

    python -m ipa_jax protocols --out=runs/experiments            the table of protocols
    python -m ipa_jax protocols --out=runs/experiments --plants   also what planted leaks are worth

A run that is done is never made again: its record is taken, so the same command goes on where it stopped, also on
another machine that has the records alone.
"""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa_jax.experiments.protocol_rows import PAPER
from ipa_jax.experiments.statistics import points
from third_party_ports.cli import whole_number, whole_numbers

if TYPE_CHECKING:
    import polars as pl

    from ipa_jax.experiments.records import Record

PROTOCOL_TEXTS = {
    PAPER: "**paper**: random groups, the bank holds past and future",
    "no_hash": "no near-duplicates, by perceptual hash",
    "no_cosine": "no near-duplicates, by hash or by backbone cosine in the account",
    "no_cosine_any": "no near-duplicates, by hash or by backbone cosine in all of train",
    "past_only": "past only: bank and means end before the query, by the lag",
    "account_disjoint": "account-disjoint: accounts never trained on",
    "exclude_post": "a leak: `exclude = post`, train queries see their group",
    "exclude_none": "a leak: `exclude = none`, train queries see themselves",
}
COMPARED = {  # plant: the run without the leak
    "no_test": PAPER,
    "preprocessing": PAPER,
    "feature_selection": PAPER,
    "own_group": PAPER,
    "temporal": "past_only",
    "sibling": "sibling_honest",
    "sampling": PAPER,
}


def pooled(records: Sequence[tuple[str, "Record"]], keeps: Sequence | None = None) -> "pl.DataFrame":
    """Test scores over the worlds; `keeps`: bool [I] a world, the images that stay. Groups without two are dropped."""
    import polars as pl

    from ipa_jax.experiments import records as run_records
    from ipa_jax.metrics.scored_pairs import pool

    frames = {}
    for number, (world, record) in enumerate(records):
        scores = run_records.scores(record)
        frames[world] = scores.with_columns(keep=pl.Series(keeps[number]) if keeps is not None else pl.lit(True))
    kept = pool(frames).filter("keep").drop("keep")
    return kept.filter(pl.len().over("record") > 1)


def paired_groups(scores: "pl.DataFrame", min_ratio: float) -> "pl.DataFrame":
    """The groups that still have a valid pair."""
    import polars as pl

    from data_builders.groups import is_valid

    likes = pl.col("likes")
    extremes = scores.select(most=likes.max().over("record"), fewest=likes.min().over("record"))
    return scores.filter(pl.Series(is_valid(extremes["most"].to_numpy(), extremes["fewest"].to_numpy(), min_ratio)))


def difference(ours: "pl.DataFrame", theirs: "pl.DataFrame", min_ratio: float, seed: int = 0) -> dict[str, Any]:
    """Ours minus theirs in accuracy; both tables drawn by the same draws of accounts, also where their pairs differ.

    Returns {"difference", "interval"}; no interval where there are too few accounts (bootstrap.MIN_ACCOUNTS).
    """
    import numpy as np

    from ipa_jax.metrics import bootstrap, split_metrics

    tables = [split_metrics.by_account(scores, min_ratio) for scores in (ours, theirs)]
    names = sorted({name for table in tables for name in table["account"]})
    number = {name: i for i, name in enumerate(names)}
    times = bootstrap.draw(len(names), 1000, seed)
    accuracies, drawn = [], []
    for table in tables:
        place = [number[name] for name in table["account"]]
        pairs, correct = np.zeros(len(names)), np.zeros(len(names))
        pairs[place] = table["pairs"].to_numpy()
        correct[place] = np.nan_to_num(table["accuracy"].to_numpy()) * table["pairs"].to_numpy()
        accuracies.append(correct.sum() / pairs.sum())
        count = times @ pairs
        drawn.append(np.divide(times @ correct, count, out=np.full(len(count), np.nan), where=count > 0))
    few = len(names) < bootstrap.MIN_ACCOUNTS
    interval = None if few else bootstrap.interval(drawn[0] - drawn[1])
    return {"difference": float(accuracies[0] - accuracies[1]), "interval": interval}


def protocol_scores(
    records: Mapping[str, list[tuple[str, "Record"]]], limits: tuple[int, float], min_ratio: float
) -> dict[str, "pl.DataFrame"]:
    """Row of the table -> its test scores; limits: data.duplicates.max_bits, eval.duplicate_cosine."""
    from ipa_jax.experiments.protocol_rows import PROTOCOLS, far_images

    found = {name: pooled(records[name]) for name in PROTOCOLS if name in records}
    bits, cosine = limits
    paper = records[PAPER]
    more = {"no_hash": {}, "no_cosine": {"max_cosine": cosine}}
    more["no_cosine_any"] = {"max_cosine": cosine, "any_account": True}
    for name, limit in more.items():
        keep = [far_images(record, bits, **limit) for _, record in paper]
        found[name] = paired_groups(pooled(paper, keep), min_ratio)
    return {name: found[name] for name in PROTOCOL_TEXTS if name in found}


def table_row(text: str, scores: "pl.DataFrame", base: "pl.DataFrame | None", min_ratio: float) -> str:
    """A row of Markdown: accuracy with its interval, SRCC, pairs, and the difference to `base`."""
    from ipa_jax.metrics.split_metrics import evaluate

    if scores.is_empty():
        return f"| {text} | | | | | 0 | no pair is left |"
    result = evaluate(scores, min_ratio)
    low, high = result["accuracy_interval"]
    cells = [
        text,
        f"{100 * result['accuracy']:.1f}",
        f"{100 * low:.1f} to {100 * high:.1f}",
        f"{result['srcc']:.3f}",
        f"{result['ratio_mse']:.2f}",
        f"{result['pairs']:,}",
        "" if base is None else points(difference(scores, base, min_ratio)),
    ]
    return "| " + " | ".join(cells) + " |"


def protocol_table(scores: Mapping[str, "pl.DataFrame"], min_ratio: float) -> list[str]:
    """The table of protocols as lines of Markdown."""
    base = scores[PAPER]
    head = ["| protocol | accuracy % | 95 % interval | SRCC | Ratio MSE | test pairs | minus paper, points |",
            "|---|---:|:---:|---:|---:|---:|---|"]  # fmt: skip
    rows = [table_row(PROTOCOL_TEXTS[name], scores[name], None if name == PAPER else base, min_ratio)
            for name in scores]  # fmt: skip
    return head + rows


def leak_table(
    records: Mapping[str, list[tuple[str, "Record"]]], limits: tuple[int, float], min_ratio: float
) -> list[str]:
    """What each planted leak would have been worth, as lines of Markdown."""
    from data_builders.demo_world.plants import PLANTS
    from ipa_jax.experiments.protocol_rows import far_images
    from ipa_jax.metrics.split_metrics import evaluate

    lines = ["| type of leak | planted | with it, % | without, % | worth, points | what the checklist says |",
             "|---|---|---:|---:|---|---|"]  # fmt: skip
    for name, plant in PLANTS.items():
        here = records.get(f"plant_{name}")
        if here is None or (name in COMPARED and COMPARED[name] not in records):
            continue
        leaky = pooled(here)
        if name == "duplicates":  # the same scores, of the images without one
            far = [far_images(record, limits[0]) for _, record in here]
            honest = paired_groups(pooled(here, far), min_ratio)
        else:
            honest = pooled(records[COMPARED[name]])
        with_it, without = (100 * evaluate(scores, min_ratio, draws=0)["accuracy"] for scores in (leaky, honest))
        worth = points(difference(leaky, honest, min_ratio))
        verdict = failing_lines(here) or "**passes**"
        lines.append(f"| {plant.kind} | `{name}`: {plant.text} | {with_it:.1f} | {without:.1f} | {worth} | {verdict} |")
    return lines


def failing_lines(records: Sequence[tuple[str, "Record"]]) -> str:
    """Which lines of the checklist fail on these runs, in how many of the worlds; "" where none does."""
    failing = [title.split()[0] for _, record in records for title, said in record.extra["checklist"] if said == "fail"]
    told = [f"{line} ({failing.count(line)} of {len(records)} worlds)" for line in dict.fromkeys(failing)]
    return f"fails: {', '.join(told)}" if told else ""


def honest_sentence(records: Mapping[str, list[tuple[str, "Record"]]]) -> str:
    """What the checklist says where nothing is planted: a line that fails there too has caught nothing."""
    honest = [name for name in dict.fromkeys(COMPARED.values()) if name in records]
    told = [f"`{name}` {failing_lines(records[name]) or 'fails no line'}" for name in honest]
    return f"Of the runs without a plant, {', '.join(told)}."


def near_sentence(scores: Mapping[str, "pl.DataFrame"], limits: tuple[int, float]) -> str:
    """How many test images the rows without near-duplicates leave out."""
    images = len(scores[PAPER])
    hashed, own, anywhere = (images - len(scores[name]) for name in ("no_hash", "no_cosine", "no_cosine_any"))
    return (
        f"Left out of {images:,} test images: {hashed:,} by hash (within {limits[0]} of 64 bits), {own:,} by hash or "
        f"cosine (above {limits[1]:g}) in the account, {anywhere:,} in all of train, with what is left of groups "
        "without a valid pair."
    )


def worlds_sentence(args: argparse.Namespace) -> str:
    """What the runs are."""
    seeds = ", ".join(map(str, args.seeds))
    return (
        f"`configs/full.py:{args.size}` on demo worlds of {args.accounts} accounts x {args.posts} posts (world seed = "
        f"training seed = {seeds}), test groups pooled; intervals by bootstrap over accounts."
    )


def command_line(args: argparse.Namespace) -> str:
    """The command that makes the page, without what is as it would be anyway."""
    parser = _parser()
    words = ["python", "-m", "ipa_jax", "protocols"]
    for name in ("out", "records", "page", "evaluation", "seeds", "accounts", "posts", "size", "only"):
        value = getattr(args, name)
        if value != parser.get_default(name):
            words.append(f"--{name}={','.join(map(str, value)) if isinstance(value, list) else value}")
    return shlex.join(words + ["--plants"] * args.plants)


def run(args: argparse.Namespace) -> None:
    from configs import full
    from ipa_jax.experiments import marked_pages, protocol_rows
    from ipa_jax.experiments import runs as experiments

    args.records = args.records or args.out / "records-protocols"
    page, evaluation = args.page or args.out / "protocols.md", args.evaluation or args.out / "leaks.md"
    for file, name in ((page, "protocols"), *[(evaluation, "leaks")] * args.plants):
        marked_pages.require(file, name)
    config = full.get_config(args.size)
    limits = config.data.duplicates.max_bits, config.eval.duplicate_cosine
    ratio = config.data.pairs.min_ratio
    worlds = [experiments.World(seed, args.accounts, args.posts) for seed in args.seeds]
    runs = protocol_rows.protocols(worlds, args.size)
    if args.plants:
        runs += protocol_rows.plants(worlds, args.size)
    asked = [run for run in runs if not args.only or run.name in needed(args.only, args.plants)]
    for each in runs:
        if record := experiments.stored(each, args.records, overwrite=args.overwrite):
            protocol_rows.require_measured(args.records / each.file, each, record)
    made = experiments.run(asked, args.out, args.records, overwrite=args.overwrite, measure=protocol_rows.measure)
    records: dict[str, list] = {}
    for each in runs:  # rows that were not asked for keep their records
        if record := made.get(each) or experiments.stored(each, args.records, overwrite=args.overwrite):
            records.setdefault(each.name, []).append((each.world.name, record))
    records = {name: found for name, found in records.items() if len(found) == len(worlds)}
    scores = protocol_scores(records, limits, ratio)
    head = [f"    {command_line(args)}", "", worlds_sentence(args), ""]
    table = protocol_table(scores, ratio)
    tables = {"protocols": (page, [*head, *table, "", near_sentence(scores, limits)])}
    if args.plants:
        tables["leaks"] = (evaluation, [*head, *leak_table(records, limits, ratio), "", honest_sentence(records)])
    for name, (file, lines) in tables.items():
        print("\n" + "\n".join(lines))
        marked_pages.fill(file, name, lines)


def needed(rows: Sequence[str], plants: bool = True) -> set[str]:
    """Names of the runs behind rows: protocols, or plants by their name.

    Raises ValueError for an unknown one, and for one of plants where these are not asked for.
    """
    from ipa_jax.experiments.protocol_rows import PROTOCOLS

    known = {*PROTOCOLS, *COMPARED, "duplicates"}
    if unknown := set(rows) - known:
        raise ValueError(f"--only {', '.join(sorted(unknown))}: must be of {', '.join(sorted(known))}")
    planted = {f"plant_{row}" for row in rows if row not in PROTOCOLS}
    if planted and not plants:
        raise ValueError(f"--only {', '.join(rows)}: leaks are planted by --plants; give that too")
    return {PAPER} | set(rows) | planted | {COMPARED[row] for row in rows if row in COMPARED}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ipa_jax protocols", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--records", type=Path, help="folder of the runs' records (default: OUT/records-protocols)")
    parser.add_argument("--page", type=Path, help="the page whose part the table is (default: OUT/protocols.md)")
    parser.add_argument("--evaluation", type=Path, help="that of the table of leaks (default: OUT/leaks.md)")
    parser.add_argument("--seeds", type=whole_numbers, default=[0, 1], help="world and training seeds, by comma")
    parser.add_argument("--accounts", type=whole_number(1), default=240, help="of each demo world")
    parser.add_argument("--posts", type=whole_number(1), default=80, help="of each account")
    parser.add_argument("--size", default="demo", choices=["demo", "tiny"], help="of the models")
    parser.add_argument("--plants", action="store_true", help="also one run a planted leak and world")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=[],
        help="rows to make, by comma, and what they are compared with",
    )
    parser.add_argument("--overwrite", action="store_true", help="make runs again whose records are of other runs")
    return parser


def main(argv: list[str] | None = None) -> int:
    from ipa_jax.experiments.commands import StageError

    try:
        run(_parser().parse_args(argv))
    except (StageError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
