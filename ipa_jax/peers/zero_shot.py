"""Scores of the peers' public weights, without training: Table 1's rows of NIMA, MUSIQ and Ding et al. (I2PA).

    python -m ipa_jax zero-shot --network nima --weights weights --data_dir DATA [--split test] [--json]

Photos are prepared as each system published it, from the files as stored. NIMA and MUSIQ predict a mean opinion s, and
z = log s with s at least 0.001 [choice]; of I2PA, which is trained on differences, z is the output itself, so that its
Ratio MSE is our own figure (the paper prints none).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from third_party_ports.cli import Parser, command, fail, new_parquet

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from data_builders.dataset import GroupDataset

NAMES = {  # network: the row of third_party_ports.checkpoints.zoo that it stands for
    "nima": "nima_aesthetic",
    "musiq": "musiq_ava",  # aesthetics; the paper does not say which
    "i2pa": "i2pa",
}
ROWS = ("nima_aesthetic", "nima_technical", "musiq_ava", "musiq_koniq", "musiq_paq2piq", "musiq_spaq", "i2pa")
FLOOR = 1e-3  # of a score, whose logarithm is z
TOKENS = 128  # MUSIQ's sequences are padded to a multiple, so that a few lengths are compiled


class MissingWeights(ValueError):
    """There is no converted file of a row; the message says how to get it."""


@dataclass(frozen=True)
class System:
    """prepare: photo uint8 [H, W, 3] -> its input, any tree; collate: inputs -> batch [n, ...];
    score: (network, variables, batch) -> z float32 [n]; batch: photos at once; shape: of an example's first input."""

    prepare: Callable[[np.ndarray], Any]
    collate: Callable[[Sequence[Any]], Any]
    score: Callable[[Any, Any, Any], Any]
    batch: int
    shape: tuple[int, ...]


def scores(
    name: str,
    weights_dir: Path | str | None,
    dataset: GroupDataset,
    *,
    random_weights: bool = False,
    fields: Mapping[str, Any] | None = None,
) -> pl.DataFrame:
    """Columns account, record, image_id, post_id, likes, z: a row an image, in the index's order.

    Args:
      name: of NAMES or ROWS.
      weights_dir: folder of converted files, NAME.safetensors.
      random_weights: draws them instead, from seed 0; `fields` are then a network's sizes, for tests.

    Raises MissingWeights, WeightsError for a file of another network, ValueError for an unknown name or a photo that
    cannot be read, FloatingPointError where a score is not finite.
    """
    import jax
    import numpy as np
    from tqdm import tqdm

    from data_builders.features import frozen_network
    from ipa_jax.metrics.scored_pairs import score_table

    system, network, variables = load(name, weights_dir, random_weights=random_weights, fields=fields)
    row = NAMES.get(name, name)
    run = frozen_network.OnDevices(lambda variables, batch: system.score(network, variables, batch), variables)
    z = []
    with tqdm(total=len(dataset.images), desc=row, unit="image", disable=None) as bar:
        photos = _inputs(dataset, system)
        while inputs := list(islice(photos, system.batch)):
            with jax.default_matmul_precision("highest"):
                z.append(frozen_network.fetch(run(system.collate(inputs))))
            bar.update(len(inputs))
    z = np.concatenate(z).astype(np.float64)
    if not np.isfinite(z).all():
        raise FloatingPointError(f"{row}: {int((~np.isfinite(z)).sum())} of {len(z)} scores are not finite")
    return score_table(dataset.images, z)


def load(
    name: str,
    weights_dir: Path | str | None,
    *,
    random_weights: bool = False,
    fields: Mapping[str, Any] | None = None,
) -> tuple[System, Any, Any]:
    """(system, linen module, variables) of NAMES or ROWS; arguments and errors of weights as those of `scores`."""
    from data_builders.features import frozen_network

    row, fields = NAMES.get(name, name), dict(fields or {})
    if row not in ROWS:
        raise ValueError(f"{name!r} is no system with public weights: take from {', '.join((*NAMES, *ROWS))}")
    if not random_weights and (reason := missing(name, weights_dir)):
        raise MissingWeights(reason)
    system = _system(row, fields)
    return system, *frozen_network.load(row, fields, str(weights_dir), system.shape, "float32", random_weights)


def missing(name: str, weights_dir: Path | str | None) -> str | None:
    """Why a row cannot be scored, and how to get its weights; None where its file is there."""
    from data_builders.features import weight_files

    row = NAMES.get(name, name)
    folder = str(weights_dir or "weights")
    if weights_dir is not None and weight_files.weights_path(folder, row).is_file():
        return None
    given = f"{weight_files.weights_path(folder, row)} is not there" if weights_dir else "weights not given"
    return f"{given}; {weight_files.how_to_get(folder, row)}; then --weights={folder}"


def _inputs(dataset: GroupDataset, system: System) -> Iterator[Any]:
    """The prepared photos of a split, in order of the index; a group's are prepared side by side."""
    from concurrent.futures import ThreadPoolExecutor

    from ipa_jax.input.photos import decode_whole

    with ThreadPoolExecutor() as pool:
        for record in range(len(dataset)):
            example = dataset.get([record])[0]
            prepared = pool.map(lambda photo: system.prepare(decode_whole(photo)), example["images"])
            for image in example["image_ids"]:
                try:
                    yield next(prepared)
                except ValueError as error:
                    raise ValueError(f"record {record}, image {image} in {dataset.folder}: {error}") from error


def _system(row: str, fields: Mapping[str, Any]) -> System:
    import jax.numpy as jnp
    import numpy as np

    from third_party_ports import imagenet
    from third_party_ports.peers import i2pa, musiq, musiq_patches, nima, nima_input

    log = lambda score: jnp.log(jnp.maximum(score, FLOOR))  # noqa: E731
    square = (1, i2pa.SIDE, i2pa.SIDE, 3)
    if row.startswith("nima"):

        def votes(network, variables, images):
            return log(nima.mean_score(network.apply(variables, nima_input.scaled(images), train=False)[0]))

        return System(nima_input.resized, np.stack, votes, 32, square)
    if row == "i2pa":

        def difference(network, variables, images):
            return network.apply(variables, i2pa.scaled(images), train=False)[0]

        return System(lambda photo: imagenet.resize(photo, square[1:3]), np.stack, difference, 32, square)
    layout = musiq_patches.Layout(patch=fields.get("patch", 32), grid=fields.get("grid", 10))

    def opinion(network, variables, tokens):
        return log(musiq.score(network.apply(variables, *tokens)[0]))

    def padded(photos: Sequence[musiq_patches.Tokens]) -> tuple:
        length = max(len(tokens.mask) for tokens in photos)
        return tuple(musiq_patches.batch(photos, -(-length // TOKENS) * TOKENS))

    return System(lambda photo: musiq_patches.sequence(photo, layout), padded, opinion, 4, (1, 1, 3 * layout.patch**2))


@command()
def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser("zero-shot", __doc__)
    parser.add_argument("--network", required=True, choices=(*NAMES, *(row for row in ROWS if row not in NAMES)))
    parser.add_argument("--weights", type=Path, help="folder of converted files, NAME.safetensors")
    parser.add_argument("--data_dir", required=True, help="what data_builders.build wrote")
    parser.add_argument("--split", default="test", choices=["train", "validation", "test"])
    parser.add_argument("--scores", type=new_parquet, help=".parquet file to write, with a row per image")
    parser.add_argument("--random_weights", action="store_true", help="for tests: the scores mean nothing")
    parser.add_argument("--json", action="store_true", help="print the metrics as one JSON object")
    args = parser.parse_args(argv)
    try:
        return _run(args)
    except (ValueError, OSError, FloatingPointError) as error:
        return fail(error)


def _run(args: argparse.Namespace) -> int:
    from data_builders.dataset import GroupDataset
    from ipa_jax.metrics import score_files
    from ipa_jax.metrics.display import metric_lines
    from ipa_jax.metrics.split_metrics import evaluate

    if not args.random_weights and (reason := missing(args.network, args.weights)):
        print(f"error: {args.network}: {reason}", file=sys.stderr)  # before the data is looked at
        return 1
    dataset = GroupDataset(args.data_dir, args.split, depth=False)
    table = scores(args.network, args.weights, dataset, random_weights=args.random_weights)
    if args.scores:
        score_files.save(table, args.scores)
    results = evaluate(table, dataset.options["pairs"]["min_ratio"])
    results |= {"network": NAMES.get(args.network, args.network), "random_weights": args.random_weights}
    if args.json:
        print(json.dumps(results))
        return 0
    print(f"{args.split}: {results['images']} images, {results['groups']} groups, {results['pairs']} valid pairs")
    print("\n".join(f"  {line}" for line in metric_lines(results)))
    if args.random_weights:
        print("  random weights: these figures mean nothing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
