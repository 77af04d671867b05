"""Yardsticks without a network: what a score must beat, and in a demo world what it can reach.

    python -m ipa_jax.baselines --data_dir=DATA [--world=WORLD] [--split=test]

Each gives a table of scores, a row an image in the order of the split's index (metrics.py reads them).
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from data_builders.dataset import GroupDataset
    from data_builders.memory_bank import AccountImages

NEIGHBOURS = 5  # of pixel_knn: as many as the model retrieves
THUMBNAIL = 16  # side of pixel_knn's down-sampled images, pixels
BATCH = 256  # groups read at once
FIGURES = ("accuracy", "accuracy_interval", "plcc", "srcc", "ratio_mse", "pairs", "groups", "images", "interval_over")


def score_table(dataset: "GroupDataset", z: "np.ndarray") -> "pl.DataFrame":
    """Scores of z float [I], one an image in the index's order: account, record, image_id, post_id, likes, z."""
    import polars as pl

    columns = dataset.images.select("account", "record", "image_id", "post_id", "likes")
    return columns.with_columns(pl.Series("z", z, dtype=pl.Float64))


def chance(dataset: "GroupDataset", seed: int) -> "pl.DataFrame":
    """A uniform random number an image."""
    import numpy as np

    return score_table(dataset, np.random.default_rng(seed).uniform(size=len(dataset.images)))


def retrieval_only(dataset: "GroupDataset") -> "pl.DataFrame":
    """z = sum_k S_k log local_k / sum_k S_k over what was retrieved (eq. 1, 3); 0 where nothing similar was."""
    import numpy as np

    z = [
        similarity_weighted(example["similarity"][..., 0], example["local_score"], example["mask"])
        for example in _examples(dataset, range(len(dataset)), "retrieval-only")
    ]
    return score_table(dataset, np.concatenate(z))


def similarity_weighted(similarity: "np.ndarray", local: "np.ndarray", mask: "np.ndarray") -> "np.ndarray":
    """float64 [N] from S and local score, float [N, K], and their mask, bool [N, K]."""
    import numpy as np

    weight = np.where(mask, similarity, 0)
    total = weight.sum(axis=1)
    logs = (weight * np.log(np.where(mask, local, 1))).sum(axis=1)
    return np.divide(logs, total, out=np.zeros(len(total)), where=total > 0)


def pixel_knn(dataset: "GroupDataset", train: "GroupDataset") -> "pl.DataFrame":
    """z = mean log local score (eq. 3) of the 5 nearest train images of the account, in 16 x 16 RGB pixels.

    An image's own group is never among them, nor in the means; no label of a validation or test image is read. Under
    `memory.past_only` only the past is. 0 for an image whose account has no train image that it may see.

    Args:
      dataset: the split to score; train: the train split of the same data, the same object to score it itself.
    """
    import numpy as np
    import polars as pl
    from tqdm import tqdm

    from data_builders.groups import TEST, TRAIN

    asked = dataset.images.with_row_index("row").with_columns(split=pl.lit(TEST))
    known = train.images.with_columns(split=pl.lit(TRAIN))
    same = dataset is train
    z = np.zeros(len(asked))
    banks = known.partition_by("account", as_dict=True)
    queries = asked.partition_by("account", as_dict=True)
    for account, query in tqdm(queries.items(), desc="pixel kNN", unit="account", disable=None):
        if account not in banks:
            continue
        bank, query = (rows.sort("time", "post_id", "position") for rows in (banks[account], query))
        bank_pixels = thumbnails(train, bank)
        query_pixels = bank_pixels if same else thumbnails(dataset, query)
        z[query["row"].to_numpy()] = nearest_log_local(
            query_pixels,
            bank_pixels,
            _account_images(query, 0 if same else len(train)),  # groups of other splits have numbers of their own
            _account_images(bank, 0),
            train.choices,
        )
    return score_table(dataset, z)


def nearest_log_local(
    query_pixels: "np.ndarray",
    bank_pixels: "np.ndarray",
    query: "AccountImages",
    bank: "AccountImages",
    choices: Mapping[str, Any],
) -> "np.ndarray":
    """float64 [Q]: mean log local score of each query's nearest images among those of the bank that it may see.

    Args:
      query_pixels, bank_pixels: uint8 [Q, D] and [M, D], compared by Euclidean distance.
      query, bank: of one account, the bank sorted by time; ties go to the older image.
      choices: `config.data` as nested dict; reads memory and split.
    """
    import numpy as np

    from data_builders.local_score import local_scores
    from data_builders.memory_bank import visible

    # Whatever a train query may see under `exclude`: a yardstick that reads its own likes would be none.
    memory = {**choices["memory"], "exclude": "group"}
    seen = visible(query, bank, memory, choices["split"]["by"])  # [Q, M]
    _, first, post = np.unique(bank.post, return_index=True, return_inverse=True)
    posts = bank.rows(first)
    seen_posts = visible(query, posts, memory, choices["split"]["by"])
    local, _ = local_scores(posts.time, posts.likes, seen_posts, memory)  # [Q, posts]
    logs = np.log(np.where(seen_posts, local, 1))[:, post]  # [Q, M]
    a, b = query_pixels.astype(np.float64), bank_pixels.astype(np.float64)  # whole numbers: exact
    distance = (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)
    distance = np.where(seen, distance, np.inf)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]
    real = np.take_along_axis(seen, nearest, axis=1)
    chosen = np.where(real, np.take_along_axis(logs, nearest, axis=1), 0)
    return chosen.sum(axis=1) / np.maximum(real.sum(axis=1), 1)


def thumbnails(dataset: "GroupDataset", rows: "pl.DataFrame") -> "np.ndarray":
    """uint8 [len(rows), 16 * 16 * 3] of the images at (record, position). Raises ValueError as `decode`."""
    import numpy as np

    from ipa_jax.photos import decode

    records = rows["record"].unique(maintain_order=True).to_list()
    examples = dict(zip(records, dataset.get(records), strict=True))
    places = rows.select("record", "position").iter_rows()
    pixels = [decode(examples[record]["images"][position], THUMBNAIL).ravel() for record, position in places]
    return np.stack(pixels)


def _account_images(rows: "pl.DataFrame", first_group: int) -> "AccountImages":
    """Rows of the index of one account as memory_bank.py has them; groups are numbered from `first_group`."""
    import numpy as np

    from data_builders.memory_bank import AccountImages

    order = rows.select("time", "post_id").rows()
    number = {key: i for i, key in enumerate(sorted(set(order)))}
    return AccountImages(
        post=np.array([number[key] for key in order], np.int32),
        time=rows["time"].to_numpy().astype(np.int64),
        likes=rows["likes"].to_numpy().astype(np.int64),
        group=rows["record"].to_numpy().astype(np.int32) + np.int32(first_group),
        split=rows["split"].to_numpy().astype(np.int8),
        image_id=rows["image_id"].to_numpy().astype(str),
        post_id=rows["post_id"].to_numpy().astype(str),
    )


def _examples(dataset: "GroupDataset", records: range, what: str) -> Iterator[dict]:
    """The groups at `records` in order, a batch read at once, with rate and time left."""
    from tqdm import tqdm

    with tqdm(total=len(records), desc=what, unit="group", disable=None) as bar:
        for begin in range(0, len(records), BATCH):
            batch = dataset.get(list(records[begin : begin + BATCH]))
            yield from batch
            bar.update(len(batch))


def truth_scores(dataset: "GroupDataset", world: Path) -> "dict[str, pl.DataFrame]":
    """What the demo world's truth says: bayes knows all but the noise, universal_only the quality that all share.

    Args:
      world: folder that `data_builders.demo_world` wrote.
    Raises:
      FileNotFoundError, ValueError: no truth.parquet there, or that of another world.
    """
    from data_builders.demo_world import truth

    known = truth.load(world)
    scores = {}
    for name, rule in (("bayes", truth.bayes_scores), ("universal_only", truth.universal_scores)):
        joined = dataset.images.join(rule(known), on=truth.KEY, how="left", maintain_order="left")
        if missing := joined["z"].null_count():
            raise ValueError(f"{world}/truth.parquet: {missing} images of the data set are not in it: another world")
        scores[name] = score_table(dataset, joined["z"].to_numpy())
    return scores


def all_scores(
    dataset: "GroupDataset", train: "GroupDataset", world: Path | None = None, *, seed: int = 0
) -> "dict[str, pl.DataFrame]":
    """Name -> scores: with a demo world bayes and universal_only, then retrieval_only, pixel_knn, chance."""
    scores = {}
    if world is not None:
        scores = truth_scores(dataset, world)
    scores["retrieval_only"] = retrieval_only(dataset)
    scores["pixel_knn"] = pixel_knn(dataset, train)
    scores["chance"] = chance(dataset, seed)
    return scores


def yardsticks(
    dataset: "GroupDataset", train: "GroupDataset", world: Path | None = None, *, seed: int = 0, draws: int = 1000
) -> dict[str, dict]:
    """Name -> accuracy, its 95 % interval and the other figures of FIGURES, over the valid pairs of the split.

    Args:
      dataset, train: the split to judge, and the train split of the same data.
      world: folder of the demo world that the data was built from; None leaves out what needs the truth.
      seed, draws: of chance and of the bootstrap.
    """
    from ipa_jax.metrics import evaluate

    ratio = dataset.choices["pairs"]["min_ratio"]
    results = {}
    for name, scores in all_scores(dataset, train, world, seed=seed).items():
        result = evaluate(scores, ratio, draws=draws, seed=seed)
        results[name] = {figure: result[figure] for figure in FIGURES}
    return results


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
    parser = argparse.ArgumentParser(prog="python -m ipa_jax.baselines", description=__doc__.split("\n")[0])
    parser.add_argument("--data_dir", required=True, help="what data_builders.build wrote")
    parser.add_argument("--world", type=Path, help="demo world that the data came from: adds what its truth says")
    parser.add_argument("--split", default="test", choices=["train", "validation", "test"])
    parser.add_argument("--seed", type=int, default=0, help="of chance and of the bootstrap")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the table")
    args = parser.parse_args(argv)

    from data_builders.dataset import GroupDataset

    try:
        train = GroupDataset(args.data_dir, "train")
        dataset = train if args.split == "train" else GroupDataset(args.data_dir, args.split)
        results = yardsticks(dataset, train, args.world, seed=args.seed)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(results))
    else:
        print_table(results, f"Yardsticks, {args.split} split of {args.data_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
