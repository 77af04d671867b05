"""How near each test image comes to one that training or the memory bank holds: by its pixels, and to the backbone.

    python -m ipa_jax near-duplicates --export=runs/full/export --data_dir=DATA [--out=FILE.json]

Pixels: bits of the 64 of the perceptual hash that differ from the nearest one. Backbone: cosine of the pooled Swin
features, centred on their mean over the train split (uncentred ones are all alike). Bits and one cosine are of other
posts of the same account in train and in the memory bank, or, of any account, in train; the other cosine is of the same
account alone, as photos of one scene look alike to a backbone whoever took them. The test protocols without
near-duplicates leave out what is within data.duplicates.max_bits or above eval.duplicate_cosine.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from third_party_ports.cli import Parser, fail, new_file
from third_party_ports.files import write_text

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from data_builders.dataset import GroupDataset

CHUNK = 256  # test images compared with all of train at once


def nearest(export: Path, data_dir: Path | str) -> "pl.DataFrame":
    """A row a test image, in the index's order: account, record, image_id, bits i64, cosine f64 (of the account; -1: no
    other image) and cosine_any f64.

    Raises ExportError, FileNotFoundError: no export with a Swin, no data set.
    """
    import numpy as np
    import polars as pl

    from data_builders.dataset import GroupDataset
    from data_builders.top3000.duplicates import nearest_bits
    from ipa_jax.baselines.backbone_features import backbone_features

    train, test = (GroupDataset(data_dir, name, depth=False) for name in ("train", "test"))
    seen, asked = backbone_features(export, train), backbone_features(export, test)
    centre = seen.mean(axis=0)
    tables = [
        dataset.images.select("account", "record", "image_id", "post_id").with_columns(
            phash=pl.Series(hashes(dataset), dtype=pl.UInt64),
            group_id=pl.lit(name) + pl.col("record").cast(pl.String),
            split=pl.lit(name),
        )
        for name, dataset in (("train", train), ("test", test))
    ]
    images = pl.concat(tables).with_row_index("row")
    vectors = unit(np.concatenate([seen, asked]) - centre)
    by_account = test.options["split"]["by"] == "account"
    bank = images if by_account else images.head(len(seen))
    cosine = np.full(len(images), -1.0)
    banks = bank.partition_by("account", as_dict=True)
    for (account,), queries in images.tail(len(asked)).group_by("account"):
        others = banks.get((account,))
        for (group,), query in queries.group_by("group_id") if others is not None else ():
            known = others.filter(pl.col("group_id") != group, ~pl.col("post_id").is_in(query["post_id"].implode()))
            if known.is_empty():
                continue
            rows = query["row"].to_numpy()
            cosine[rows] = (vectors[rows] @ vectors[known["row"].to_numpy()].T).max(axis=1)
    cosine_any = cosine.copy()
    for start in range(len(seen), len(images), CHUNK):
        rows = slice(start, start + CHUNK)
        cosine_any[rows] = np.maximum(cosine[rows], (vectors[rows] @ vectors[: len(seen)].T).max(axis=1))
    found = images.with_columns(cosine=pl.Series(cosine), cosine_any=pl.Series(cosine_any)).tail(len(asked))
    found = found.with_columns(bits=pl.Series(nearest_bits(images, by_account)))
    return found.select("account", "record", "image_id", "bits", "cosine", "cosine_any")


def hashes(dataset: "GroupDataset") -> "np.ndarray":
    """u64 [I]: the perceptual hash of each image, in the index's order; 0 for one that cannot be decoded."""
    import numpy as np
    from tqdm import tqdm

    from data_builders.top3000.probe import probe_bytes

    found = []
    with tqdm(total=len(dataset.images), desc=f"hash {dataset.split}", unit="image", disable=None) as bar:
        for example in dataset:
            found += [(probe_bytes(data) or (0,))[0] for data in example["images"]]
            bar.update(len(example["images"]))
    return np.array(found, np.uint64)


def unit(vectors: "np.ndarray") -> "np.ndarray":
    """Rows of length 1, float64; a zero row stays."""
    import numpy as np

    vectors = vectors.astype(np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def main(argv: list[str] | None = None) -> int:
    parser = Parser("near-duplicates", __doc__)
    parser.add_argument("--export", type=Path, required=True, help="export/ folder of a run with a Swin")
    parser.add_argument("--data_dir", required=True, help="what data_builders.build wrote")
    parser.add_argument("--out", type=new_file, help="write bits and cosines by account and record to this file")
    args = parser.parse_args(argv)
    try:
        from ipa_jax.training.export import load_export

        _, config, _ = load_export(args.export)
        found = nearest(args.export, args.data_dir)
    except (ValueError, OSError) as error:
        return fail(error)
    if args.out:
        write_text(args.out, json.dumps(as_lists(found)))
    limits = config.data.duplicates.max_bits, config.eval.duplicate_cosine
    own, anywhere = (int((found[name] > limits[1]).sum()) for name in ("cosine", "cosine_any"))
    print(
        f"of {len(found)} test images {int((found['bits'] <= limits[0]).sum())} have a near-duplicate by hash (within "
        f"{limits[0]} bits), {own} to the backbone (cosine above {limits[1]:g}) in their account, {anywhere} in train"
    )
    return 0


def as_lists(found: "pl.DataFrame") -> dict[str, dict[str, list[list]]]:
    """{account: {record: [bits, cosines, cosines of any account]}}, images in the index's order, as in a record."""
    lists: dict[str, dict[str, list[list]]] = {}
    for (account, record), rows in found.group_by("account", "record", maintain_order=True):
        cosines = [[round(value, 4) for value in rows[name]] for name in ("cosine", "cosine_any")]
        lists.setdefault(account, {})[str(record)] = [rows["bits"].to_list(), *cosines]
    return lists


if __name__ == "__main__":
    sys.exit(main())
