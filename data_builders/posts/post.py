"""What a post is: the columns of the posts table, the checks of a post, and the reasons to leave one out.

Section 4.1 of the paper says what a post has: images, likes, an account and a time. Every reader hands its posts to
`check` and to `table.PostTable`, so a post means the same thing in every layout. Each step that leaves records out
counts them under a named reason: the readers, and later `drop_unreadable` and `drop_without_features`.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from data_builders import photo_formats, photos

REASONS = (
    "bad row",
    "duplicate mapping row",
    "duplicate post",
    "info missing",
    "info empty",
    "info broken",
    "video",
    "likes missing",
    "likes hidden (-1)",
    "likes below 1",
    "likes hidden (constant)",
    "no timestamp",
    "carousel skipped",
    photos.MISSING,
    photos.UNREADABLE,
    photos.TOO_NARROW,
    "too many images",
    "no features",
)
SCHEMA = {  # columns of the posts table, one row per post
    "account": pl.String,
    "post_id": pl.String,
    "time": pl.Int64,
    "likes": pl.Int64,
    "followers": pl.Int64,
    "category": pl.String,
    "caption": pl.String,
    "hashtags": pl.List(pl.String),
    "comments": pl.List(pl.String),
    "comment_count": pl.Int64,
    "sponsored": pl.Boolean,
    "tagged": pl.Int64,
    "carousel_length": pl.Int64,
    "image_ids": pl.List(pl.String),
    "image_paths": pl.List(pl.String),
}
EXAMPLES = 10  # records that are kept for each reason
MOST_LIKES = 10**12  # a larger number is a mistake, and sums of many would not fit 64 bits
LONGEST_SHOWN = 60  # characters of a cell in a message
MAX_TIME = 10**11  # Unix seconds of the year 5138: a larger number counts milliseconds
FEATURES_MAY_LACK = 0.01  # share of the posts that a build may leave out because they have no features

_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f\ufffd]")


class RawDataError(ValueError):
    """The raw data cannot be used. The message gives the path, the problem and what to do."""

    def __init__(self, path: Path | str, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}. {remedy}.")
        self.path = path
        self.remedy = remedy


@dataclass
class Skips:
    """What was left out of the posts table.

    Attributes:
      counts: records by reason, of REASONS.
      examples: up to 10 records by reason.
      warnings: sentences for the user.
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def add(self, reason: str, record: str) -> None:
        """Counts one record. Raises ValueError for a reason that is not in REASONS."""
        if reason not in REASONS:
            raise ValueError(f"skip reason {reason!r} is not one of {', '.join(REASONS)}")
        self.counts[reason] += 1
        kept = self.examples.setdefault(reason, [])
        if len(kept) < EXAMPLES:
            kept.append(record)

    def warn(self, text: str) -> None:
        """Keeps a warning for the build report."""
        self.warnings.append(text)

    def summary(self) -> str:
        """The counts by reason, each with an example: "image missing: 3 (such as ann/p1: p1.jpg)"; "" if all are 0."""
        found = [reason for reason in REASONS if self.counts[reason]]
        return ", ".join(f"{reason}: {self.counts[reason]} (such as {self.examples[reason][0]})" for reason in found)

    def to_json(self) -> dict:
        """{"counts": {reason: n}, "examples": {reason: [record]}, "warnings": [text]}, in the order of REASONS."""
        found = [reason for reason in REASONS if self.counts[reason]]
        return {
            "counts": {reason: self.counts[reason] for reason in found},
            "examples": {reason: list(self.examples[reason]) for reason in found},
            "warnings": list(self.warnings),
        }


@dataclass(slots=True)
class Post:
    """What a reader knows about one post.

    Attributes:
      time: Unix seconds, None where the raw data gives none.
      likes: None where the raw data gives none; -1 where Instagram hides them.
      images: (image id, path relative to the raw folder) in the order of the raw data.
      shortcode: the post's id on Instagram, "" if unknown. Two post ids with one shortcode are the same post.
      carousel_length: images that the raw data lists, set by `check`.
      fault: place, field, value and remedy of what is wrong with it, where the reader knows; "": it is named by ids.
      Others as the columns of SCHEMA.
    """

    account: str
    post_id: str
    time: int | None
    likes: int | None
    images: list[tuple[str, str]]
    caption: str = ""
    comments: Sequence[str] = ()
    comment_count: int = 0
    sponsored: bool = False
    tagged: int = 0
    video: bool = False
    shortcode: str = ""
    carousel_length: int = 0
    fault: str = ""


def short(text: str) -> str:
    """A cell of a list in quotes, for messages: 60 characters at most."""
    return repr(text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}...")


def is_plain_name(name: str) -> bool:
    """Whether a user name, post id or image name can be part of a file name without leading out of the folder."""
    return name not in ("", ".", "..") and not _UNSAFE.search(name)


def check(post: Post, exists: Callable[[str], bool], carousel: str) -> tuple[Post | None, list[tuple[str, str]]]:
    """Checks one post, whichever reader found it.

    Args:
      post: as the raw data lists it; changed in place.
      exists: tells whether the image file at a path exists.
      carousel: config.data.posts.carousel, one of first, skip, all.

    Returns:
      The post with only the images that count, or None if it is left out; and (reason, record) for everything that was
      left out.
    """
    name = f"{post.account}/{post.post_id}"
    listed: dict[str, tuple[str, str]] = {}
    for image_id, path in post.images:
        listed.setdefault(image_id, (image_id, path))
    post.images = list(listed.values())
    post.carousel_length = len(post.images)
    reason = None
    if post.video:
        reason = "video"
    elif post.likes is None:
        reason = "likes missing"
    elif post.likes == -1:
        reason = "likes hidden (-1)"
    elif post.likes < 1:
        reason = "likes below 1"
    elif post.likes > MOST_LIKES:
        return None, [("bad row", f"{name}: {post.likes} likes, more than {MOST_LIKES:,}")]
    elif post.time is None or not 0 < post.time < MAX_TIME:
        reason = "no timestamp"
    elif carousel == "skip" and post.carousel_length > 1:
        reason = "carousel skipped"
    if reason:
        return None, [(reason, name if reason == "carousel skipped" else post.fault or name)]
    looked_for = post.images if carousel == "all" else post.images[:1]
    there = [exists(path) for _, path in looked_for]
    missing = [path for (_, path), ok in zip(looked_for, there, strict=True) if not ok]
    fault = post.fault if len(post.images) == 1 else ""
    left_out = [(photos.MISSING, fault or f"{name}: {path}") for path in missing]
    post.images = [image for image, ok in zip(looked_for, there, strict=True) if ok]
    if not post.images and not left_out:
        left_out = [(photos.MISSING, f"{name}: no image listed")]
    return (post if post.images else None), left_out


def drop_unreadable(
    table: pl.DataFrame,
    probes: pl.DataFrame,
    skips: Skips,
    where: Path | str = "images",
    *,
    carousel: str,
    max_images: int,
) -> pl.DataFrame:
    """Drops images that cannot be decoded ("image unreadable") and posts that are too large for a group.

    Args:
      table: the posts table.
      probes: what `top3000.probe.probe` found: columns `path` and `readable`, a row for every image path.
      skips: counts each unreadable image, and warns of formats that are not supported.
      where: path for error messages, and the folder that the image paths are relative to.
      carousel: config.data.posts.carousel. With "all" the other images of a post stay, otherwise the whole post goes.
      max_images: config.data.groups.max_images. A post that still has more images is dropped as "too many images".

    Returns:
      The posts table without them.

    Raises:
      ValueError: a path was not probed.
      RawDataError: no post is left.
    """
    images = table.select("image_paths").with_row_index("row").explode("image_paths")
    unprobed = images.filter(~pl.col("image_paths").is_in(probes["path"].implode()))
    if len(unprobed):
        raise ValueError(f"{len(unprobed)} image paths were not probed, such as {unprobed['image_paths'][0]}")
    unreadable = probes.filter(~pl.col("readable"))["path"]
    bad = images.filter(pl.col("image_paths").is_in(unreadable.implode()))
    _warn_of_formats(Path(where), bad["image_paths"].to_list(), skips)
    table = _without_images(table, bad, carousel, photos.UNREADABLE, skips)
    too_many = pl.col("image_ids").list.len() > max_images
    large = table.filter(too_many).select("account", "post_id").rows()
    for account, post_id in large:
        skips.add("too many images", f"{account}/{post_id}")
    if large:  # a filter copies the table, even if it drops nothing
        table = table.filter(~too_many)
    refuse_empty(table, where, skips)
    return table


def _warn_of_formats(root: Path, paths: Sequence[str], skips: Skips) -> None:
    formats = Counter(photos.format_of(root / path) for path in paths)
    for name in sorted(formats.keys() - {""}):
        found = f"{formats[name]} of the unreadable images are {name}, which is not supported here"
        skips.warn(f"{found}; {photo_formats.remedy(name)}")


def drop_without_features(
    table: pl.DataFrame,
    missing_keys: Sequence[tuple[str, str]],
    skips: Skips,
    where: Path | str = "feature store",
    *,
    carousel: str,
    reasons: Mapping[tuple[str, str], str] | None = None,
    remedy: str = "extract features for all images (ipa-jax extract)",
) -> pl.DataFrame:
    """Drops images that have no row in the feature store: "no features", or why extraction left them out.

    Args:
      table: the posts table.
      missing_keys: (account, image id) as `FeatureReader.missing` gives them.
      skips: counts each image without features.
      where: path for error messages.
      carousel: as in `drop_unreadable`.
      reasons: by (account, image id), why extraction left an image out. Such images may be any number.
      remedy: what to do if too many posts lack features for no such reason.

    Returns:
      The posts table without them.

    Raises:
      RawDataError: more than 1 % of the posts lack features for no known reason, or no post is left.
    """
    known = reasons or {}
    for reason in sorted({known[key] for key in missing_keys if key in known}):
        bad = _images_of(table, [key for key in missing_keys if known.get(key) == reason])
        table = _without_images(table, bad, carousel, reason, skips)
    bad = _images_of(table, [key for key in missing_keys if key not in known])
    lacking = bad["row"].n_unique()
    if lacking > FEATURES_MAY_LACK * len(table):
        account, image_id = bad.select("account", "image_ids").row(0)
        before = f", after these were left out: {found}" if (found := skips.summary()) else ""
        problem = f"{lacking} of {len(table)} posts have no features, such as {account}/{image_id}{before}"
        raise RawDataError(where, problem, f"At most 1 % of the posts may lack them: {remedy}")
    table = _without_images(table, bad, carousel, "no features", skips)
    refuse_empty(table, where, skips)
    return table


def _images_of(table: pl.DataFrame, keys: Sequence[tuple[str, str]]) -> pl.DataFrame:
    """The images with these (account, image id): columns row, account, image_ids and image_paths, rows ascending."""
    wanted = pl.DataFrame(list(keys), schema={"account": pl.String, "image_ids": pl.String}, orient="row")
    images = table.select("account", "image_ids", "image_paths").with_row_index("row")
    return images.explode("image_ids", "image_paths").join(wanted, on=["account", "image_ids"], how="semi").sort("row")


def _without_images(table: pl.DataFrame, bad: pl.DataFrame, carousel: str, reason: str, skips: Skips) -> pl.DataFrame:
    """The table without the images in `bad` (columns `row`, ascending, and image_paths). Counts each one."""
    if bad.is_empty():
        return table
    names = table.select("account", "post_id")[bad["row"]]
    for (account, post_id), path in zip(names.iter_rows(), bad["image_paths"], strict=True):
        skips.add(reason, f"{account}/{post_id}: {path}")
    rows = pl.int_range(len(table), dtype=pl.get_index_type(), eager=True)
    if carousel != "all":
        return table.filter(~rows.is_in(bad["row"].implode()))
    rest = (
        table.select("image_ids", "image_paths")
        .with_row_index("row")
        .explode("image_ids", "image_paths")
        .join(bad, on=["row", "image_paths"], how="anti", maintain_order="left")
        .group_by("row", maintain_order=True)
        .agg("image_ids", "image_paths")
    )
    return table.filter(rows.is_in(rest["row"].implode())).with_columns(rest["image_ids"], rest["image_paths"])


def refuse_empty(table: pl.DataFrame, path: Path | str, skips: Skips) -> None:
    """Raises RawDataError if no post is left, with the counts of what was left out, examples and the warnings."""
    if table.is_empty():
        problem = f"no usable post is left ({skips.summary() or 'no record found'})"
        remedy = "Start with the reason that has the highest count"
        raise RawDataError(path, problem, "; ".join([remedy, *skips.warnings[-2:]]))
