"""build_report.json: what was read, what was left out and why, and our counts beside the paper's."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data_builders.groups import SPLITS
from data_builders.top3000.index import Index
from data_builders.top3000.prepare import Prepared

PAPER = {  # section 4.1
    "train": {"images": 569_151, "groups": 115_496, "pairs": 521_195},
    "validation": {"images": 71_071, "groups": 14_450, "pairs": 62_820},
    "test": {"images": 71_948, "groups": 14_504, "pairs": 66_536},
}
PAPER_ACCOUNTS = 3000


def report(prepared: Prepared, index: Index, duplicates: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The report as it is stored; `show` prints it.

    Args:
      prepared: what the build read.
      index: of the data set.
      duplicates: what `duplicates.find` reports.
      options: `config.data` as a nested dict.

    Returns:
      A dict of accounts, posts, splits (for each split images, groups, pairs, images_per_group, pairs_per_group,
      valid_pair_share, paper), valid_pair_share, posts_lost, groups_dropped, skips and examples by reason, duplicates,
      warnings, random_weights, choices.
    """
    totals = index.statistics()
    splits = {
        name: _counts(totals[name])
        | {"valid_pair_share": totals[name]["pairs"] / index.all_pairs[name], "paper": _counts(PAPER[name])}
        for name in SPLITS
    }
    skips = prepared.skips.to_json()
    return {
        "accounts": {
            "with_posts": index.accounts,
            "paper": PAPER_ACCOUNTS,
            "with_kept_groups": len({a for name in SPLITS for a in index.groups[name]["account"].unique()}),
        },
        "posts": index.posts,
        "splits": splits,
        "valid_pair_share": sum(totals[name]["pairs"] for name in SPLITS) / sum(index.all_pairs.values()),
        "posts_lost": {"singletons": index.dropped["one post"], "too_young": index.too_young},
        "groups_dropped": index.dropped,
        "skips": skips["counts"],
        "examples": skips["examples"],
        "duplicates": duplicates,
        "warnings": _warnings(skips["warnings"], prepared, duplicates),
        "random_weights": prepared.reader.header["random_weights"],
        "choices": options,
    }


def show(report: dict[str, Any], console: Console) -> None:
    """Prints the report as tables."""
    counts = Table(
        "split",
        "images",
        "groups",
        "valid pairs",
        "images / group",
        "pairs / group",
        "of all pairs",
        title="Counts; the paper's below ours",
        title_justify="left",
    )
    for column in counts.columns[1:]:
        column.justify = "right"
    for name, split in report["splits"].items():
        paper = split["paper"]
        counts.add_row(
            name,
            *(f"{split[key]:,}\n[dim]{paper[key]:,}[/]" for key in ("images", "groups", "pairs")),
            *(f"{split[key]:.2f}\n[dim]{paper[key]:.2f}[/]" for key in ("images_per_group", "pairs_per_group")),
            f"{split['valid_pair_share']:.1%}",
        )
    console.print(counts)

    left_out = Table("left out", "records", "such as", title="Skipped records", title_justify="left")
    left_out.columns[1].justify = "right"
    for reason, count in report["skips"].items():
        left_out.add_row(reason, f"{count:,}", escape(report["examples"][reason][0]))
    if report["skips"]:
        console.print(left_out)

    accounts, lost, found = report["accounts"], report["posts_lost"], report["duplicates"]
    console.print(
        f"{accounts['with_posts']:,} accounts with posts (paper {accounts['paper']:,}), "
        f"{accounts['with_kept_groups']:,} with kept groups; {report['posts']:,} usable posts",
        highlight=False,
    )
    console.print(
        f"valid pairs among all pairs of kept groups: {report['valid_pair_share']:.1%}; posts lost as "
        f"singletons: {lost['singletons']:,}; too young: {lost['too_young']:,}; groups without a valid pair: "
        f"{report['groups_dropped']['no valid pair']:,}",
        highlight=False,
    )
    console.print(
        f"test images with a near-duplicate in train (same account, pHash within {found['max_bits']} bits): "
        f"{found['near']['test_images']:,} ({found['near']['share']:.2%}); with an equal file in train (any "
        f"account): {found['equal_files']['test_images']:,} ({found['equal_files']['share']:.2%})",
        highlight=False,
    )
    for warning in report["warnings"]:
        console.print(f"[yellow]warning[/]: {escape(warning)}", highlight=False)


def _counts(totals: dict[str, Any]) -> dict[str, Any]:
    images, groups, pairs = totals["images"], totals["groups"], totals["pairs"]
    return {
        "images": images,
        "groups": groups,
        "pairs": pairs,
        "images_per_group": images / groups,
        "pairs_per_group": pairs / groups,
    }


def _warnings(found: list[str], prepared: Prepared, duplicates: dict[str, Any]) -> list[str]:
    warnings = list(found)
    if prepared.reader.header["random_weights"]:
        warnings.append("the features come from extractors with random weights, so what is retrieved means nothing")
    if duplicates["either"]["share"] > 0.01:
        warnings.append(f"{duplicates['either']['share']:.1%} of the test images are in train too")
    return warnings
