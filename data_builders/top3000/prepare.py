"""What a build does before it writes: reads the posts, and checks them against images, features and options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from data_builders import photos
from data_builders.features import journal, report, selection
from data_builders.features.store import FeatureReader
from data_builders.groups import SPLITS
from data_builders.options import check, differences, with_defaults
from data_builders.posts import post
from data_builders.posts.read import read_posts
from data_builders.retrieval.accounts import Account, accounts
from data_builders.top3000 import examples, probe
from data_builders.top3000.steps import PAPER, Steps

KEY = {"account": pl.String, "image_id": pl.String}
LACKING_READ_FIRST = 0.02  # share of the images; twice the share that may lack features, so usually all that do


@dataclass(frozen=True)
class Prepared:
    """What the rest of a build reads.

    Attributes:
      raw: the raw data, a folder or a .csv file.
      root: the folder that image paths are relative to.
      table: the posts table, with only posts whose images can be read and have features.
      accounts: the same posts, grouped by account once for all later steps.
      skips: what was left out, by named reason.
      reader: the feature store.
      probes: path, readable, phash, sha256 of each image file.
    """

    raw: Path
    root: Path
    table: pl.DataFrame
    accounts: list[Account]
    skips: post.Skips
    reader: FeatureReader
    probes: pl.DataFrame


def prepare(raw: Path, features: Path, options: Mapping[str, Any], steps: Steps = PAPER) -> Prepared:
    """Reads the posts and checks everything. Quick checks come first, because reading all images can take hours.

    Args:
      raw: raw posts, a folder or a .csv file.
      features: a feature store.
      options: `config.data` as a nested dict.
      steps: the functions that the build calls.

    Raises:
      FileNotFoundError: no feature store exists there.
      RawDataError: no raw data, over 1 % of the posts without features, or an empty split.
      ValueError: an option is out of range, or asks for a part that the store lacks.
    """
    check(options)
    root = raw.parent if raw.is_file() else raw
    reader = FeatureReader(features)
    require_parts(reader, options["similarity"], options["depth"]["side"])
    read, skips = read_posts(raw, options)
    if reader.decoded_with and (versions := photos.mixture([*reader.decoded_with, photos.versions()])):
        skips.warn(f"{reader.path}: photos were decoded by different versions, which may differ in pixels: {versions}")
    grouped = accounts(read, options, steps.assign_groups)
    require_splits(grouped, raw, skips)
    rehearse(grouped, reader, options, steps)
    table, probes = _usable(read, root, reader, skips, options, steps)
    if table is not read:  # some posts were dropped, which moves others to other groups
        grouped = accounts(table, options, steps.assign_groups)
        require_splits(grouped, raw, skips)
    return Prepared(raw, root, table, grouped, skips, reader, probes)


def require_parts(reader: FeatureReader, similarity: Mapping[str, float], side: int) -> None:
    """Checks that the store has what a build needs.

    Args:
      reader: the feature store.
      similarity: config.data.similarity, the weights of the parts.
      side: config.data.depth.side, pixels; 0 without depth maps.

    Raises:
      ValueError: a part has a weight but is not stored, or the stored depth maps have another side.
    """
    header = f"{reader.path}/header.json"
    parts = f"{header}: the store has the parts {', '.join(reader.parts) or 'none'}"
    for part in ("pose", "background", "caption"):
        if similarity[part] and part not in reader.parts:
            raise ValueError(
                f"{parts}, but config.data.similarity.{part} is {similarity[part]:g}. Extract {part}, or "
                f"give its weight to the others (--config.data.similarity.{part}=0)"
            )
    if side and "depth" not in reader.parts:
        raise ValueError(
            f"{parts}, but config.data.depth.side is {side}. Extract depth, or build without depth maps "
            "(--config.data.depth.side=0)"
        )
    if side and reader.header["depth_side"] != side:
        raise ValueError(
            f"{header}: depth_side is {reader.header['depth_side']}, but config.data.depth.side is {side}. Build with "
            f"--config.data.depth.side={reader.header['depth_side']}"
        )


def require_splits(grouped: Sequence[Account], raw: Path, skips: post.Skips) -> None:
    """Raises RawDataError if a split would have no group."""
    counts = np.zeros(len(SPLITS), np.int64)
    for account in grouped:
        first_images = np.searchsorted(account.images.post, account.kept.first_post)
        counts += np.bincount(account.images.split[first_images], minlength=len(SPLITS))
    groups = dict(zip(SPLITS, counts.tolist(), strict=True))
    empty = [name for name, count in groups.items() if count == 0]
    if empty:
        posts = sum(len(account.posts) for account in grouped)
        before = f"; left out before: {found}" if (found := skips.summary()) else ""
        raise post.RawDataError(
            raw,
            f"the split {' and '.join(empty)} would be empty ({posts} posts give {groups}{before})",
            "Add accounts or posts (about one group in ten goes to validation and one to test), or change "
            "config.data.split.seed, config.data.groups or config.data.pairs.min_ratio",
        )


def rehearse(grouped: Sequence[Account], reader: FeatureReader, options: Mapping[str, Any], steps: Steps) -> None:
    """Retrieves for one account, so that errors of retrieval show at once. Raises ValueError as top_k.retrieve."""
    for account in grouped:
        ids = account.images.image_id[account.images.group >= 0].tolist()
        if ids and not reader.missing((account.name, image) for image in ids):
            steps.retrieve(account.images, examples.features_of(account, reader), options)
            return


def _usable(
    table: pl.DataFrame, root: Path, reader: FeatureReader, skips: post.Skips, options: Mapping[str, Any], steps: Steps
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The table without images that cannot be read or lack features, and the probes of its images.

    The first is `table` itself if nothing was dropped.
    """
    # An image that cannot be decoded has no features either, but must be counted as unreadable: it is opened first.
    carousel, max_images = options["posts"]["carousel"], options["groups"]["max_images"]
    paths, noted = _image_paths(table), report.read_left_out(reader.path)
    lacking = _lacking(table, reader, noted, options, steps)
    lacking.sort(key=lambda key: key not in noted)  # what extraction left out first
    count = sum(key in noted for key in lacking) + max(10, round(LACKING_READ_FIRST * len(paths)))
    first = _with_keys(table, lacking[:count])["path"].unique(maintain_order=True)
    probes = probe.probe(root, first.to_list())
    rest = pl.DataFrame({"path": paths.filter(~paths.is_in(first.implode())), "readable": True})
    readable = pl.concat([probes.select("path", "readable"), rest])
    table = post.drop_unreadable(table, readable, skips, root, carousel=carousel, max_images=max_images)
    table = _with_features(table, root, reader, skips, noted, options, steps)

    paths = _image_paths(table)
    unread = paths.filter(~paths.is_in(probes["path"].implode()))
    probes = pl.concat([probes, probe.probe(root, unread.to_list())])
    table = post.drop_unreadable(table, probes, skips, root, carousel=carousel, max_images=max_images)
    return _with_features(table, root, reader, skips, noted, options, steps), probes


def _with_features(
    table: pl.DataFrame,
    root: Path,
    reader: FeatureReader,
    skips: post.Skips,
    noted: Mapping[tuple[str, str], str],
    options: Mapping[str, Any],
    steps: Steps,
) -> pl.DataFrame:
    """The table without images that lack features which the build needs; `table` itself if there are none."""
    while lacking := _lacking(table, reader, noted, options, steps):  # what is dropped moves others into kept groups
        reasons = _left_out(table, lacking, root, noted)
        if unknown := [key for key in lacking if key not in reasons]:
            _require_same_choice(reader, options, unknown)
        table = post.drop_without_features(
            table, lacking, skips, reader.path, carousel=options["posts"]["carousel"], reasons=reasons,
            remedy=_extract_again(reader),
        )  # fmt: skip
    return table


def _lacking(
    table: pl.DataFrame,
    reader: FeatureReader,
    noted: Mapping[tuple[str, str], str],
    options: Mapping[str, Any],
    steps: Steps,
) -> list[tuple[str, str]]:
    """(account, image id) of the images that the store lacks, although the build needs them.

    If only images of kept groups were asked for, those of others are not needed, unless extraction left them out.
    """
    lacking = reader.missing(_keys(table))
    if not lacking or report.read_kept_by(reader.path) is None:
        return lacking
    kept = {
        (account.name, name)
        for account in accounts(table, options, steps.assign_groups)
        for name in account.images.image_id[account.images.group >= 0].tolist()
    }
    return [key for key in lacking if key in kept or key in noted]


def _require_same_choice(reader: FeatureReader, options: Mapping[str, Any], lacking: Sequence[tuple[str, str]]) -> None:
    """Raises RawDataError if images lack features because the store's images were chosen by other options."""
    if (chosen := report.read_kept_by(reader.path)) is None:
        return
    wanted = selection.deciding(options)
    if found := differences(with_defaults(chosen, wanted), wanted):
        fields = "; ".join(f"config.{field} was {old!r} there and is {new!r} here" for field, old, new in found)
        raise post.RawDataError(
            reader.path,
            f"it has only images of kept groups, and {fields}, so that {len(lacking)} images have no features, such as "
            f"{'/'.join(lacking[0])}",
            "Run ipa-jax extract again with the options of this build, or with --only=all",
        )


def _left_out(
    table: pl.DataFrame, lacking: Sequence[tuple[str, str]], root: Path, noted: Mapping[tuple[str, str], str]
) -> dict[tuple[str, str], str]:
    """Why extraction left images out, by (account, image id), for the readable images that the store lacks.

    What extraction could not read, and can be read by now, has no reason: it is to be extracted. A store of an earlier
    version, or of your own, does not say what was left out; then the photos themselves are looked at.
    """
    if noted:
        found = {key: noted[key] for key in lacking if key in noted}
        return {key: reason for key, reason in found.items() if reason not in (photos.MISSING, photos.UNREADABLE)}
    images = _with_keys(table, lacking).iter_rows()
    return {(account, name): photos.TOO_NARROW for account, name, path in images if _is_narrow(root / path)}


def _is_narrow(path: Path) -> bool:
    try:
        return photos.is_too_narrow(*photos.size(path))
    except photos.PhotoError:
        return False


def _extract_again(reader: FeatureReader) -> str:
    """What to do where images have no features."""
    if waiting := len(journal.read(reader.path)):
        return f"the extraction is not finished: its journal holds {waiting} more; run the same ipa-jax extract again"
    if reader.decoded_with and not (reader.path / report.REPORT).exists():  # which an extraction writes at its end
        return f"the extraction is not finished: it left no {report.REPORT}; run the same ipa-jax extract again"
    return "extract features for all images (ipa-jax extract)"


def _keys(table: pl.DataFrame) -> pl.DataFrame:
    """account, image_id and path of each image of a posts table."""
    images_of = table.select("account", image_id="image_ids", path="image_paths")
    return images_of.explode("image_id", "path")


def _with_keys(table: pl.DataFrame, keys: Sequence[tuple[str, str]]) -> pl.DataFrame:
    """Of `_keys`, those rows with an (account, image id) in `keys`."""
    wanted = pl.DataFrame(list(keys), schema=KEY, orient="row")
    return _keys(table).join(wanted, on=["account", "image_id"], how="semi", maintain_order="left")


def _image_paths(table: pl.DataFrame) -> pl.Series:
    return table["image_paths"].explode().unique(maintain_order=True).alias("path")
