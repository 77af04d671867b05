"""PARA's annotations: how willing people were to share each photo, and the photos that the paper keeps (4.2.2).

PARA (Yang et al., CVPR 2022) has a row per rating in annotation/PARA-Images.csv, and its photos in
imgs/SESSION/IMAGE. Its other files hold the same ratings per image, and who the raters are; they are not read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from third_party_ports.reading import reading

RATINGS = "annotation/PARA-Images.csv"
SESSION, IMAGE, RATE = COLUMNS = ("sessionId", "imageName", "willingnessToShare")
LEAST_AGREEMENT = 0.33  # share of raters that agree on one rate; below it a photo is left out
PERCENTILES = (10, 90)  # of the mean rate: photos below are "unwilling", above "willing"
NAMED = 5  # files that a message names
REMEDY = "unzip PARA again, and give --para the folder that holds annotation/ and imgs/"


class ParaError(ValueError):
    """A file of PARA is missing or damaged. The message names it, and what to do."""


@dataclass(frozen=True)
class Photos:
    """The N photos that the paper's filters keep, sorted by session and image.

    Attributes:
      files: their paths.
      session: int64 [N], numbered from 0 without gaps.
      mean: float64 [N], the mean rate, 1 to 5.
      willing: bool [N], True above the 90th percentile, False below the 10th.
    """

    files: list[Path]
    session: np.ndarray
    mean: np.ndarray
    willing: np.ndarray

    def __len__(self) -> int:
        return len(self.files)

    def rows(self, kept: np.ndarray) -> "Photos":
        """The photos where the bool mask `kept` [N] holds."""
        session = np.unique(self.session[kept], return_inverse=True)[1]
        files = [file for file, one in zip(self.files, kept, strict=True) if one]
        return Photos(files, session, self.mean[kept], self.willing[kept])


def read_ratings(para: Path) -> pl.DataFrame:
    """The photos of PARA-Images.csv: session, image, raters, mean (of their rates), agreement (0 to 1), sorted.

    Raises:
      ParaError: the file is missing or damaged, lacks a column, or a rate is none from 1 to 5.
    """
    file = para / RATINGS
    with reading(file, ParaError, REMEDY):
        head = pl.read_csv(file, n_rows=0, infer_schema=False).columns
        if lacking := [name for name in COLUMNS if name not in head]:
            found = ", ".join(head)[:200]
            raise ParaError(f"{file} lacks the column {', '.join(lacking)}; it has {found!r}; {REMEDY}")
        table = pl.read_csv(file, columns=list(COLUMNS), infer_schema=False)
    rate = table[RATE].str.strip_chars().cast(pl.Float64, strict=False)
    bad = np.flatnonzero(~rate.is_between(1, 5).fill_null(False).to_numpy())
    if len(bad):
        raise ParaError(
            f"{file}: {RATE} is {table[RATE][int(bad[0])]!r} in rating {bad[0] + 1} ({len(bad)} such ratings), not a "
            f"number from 1 to 5; {REMEDY}"
        )
    unsafe = table.filter(pl.any_horizontal(pl.col(SESSION, IMAGE).fill_null("").str.contains(r"^\.*$|[/\\]")))
    if len(unsafe):
        raise ParaError(f"{file}: {unsafe[SESSION][0]!r} and {unsafe[IMAGE][0]!r} name no photo; {REMEDY}")
    rates = table.select(session=SESSION, image=IMAGE, rate=rate).group_by("session", "image", "rate").len()
    return (
        rates.group_by("session", "image")
        .agg(
            raters=pl.col("len").sum(),
            mean=(pl.col("rate") * pl.col("len")).sum() / pl.col("len").sum(),
            agreement=pl.col("len").max() / pl.col("len").sum(),
        )
        .sort("session", "image")
    )


def select(ratings: pl.DataFrame, para: Path) -> tuple[Photos, dict[str, int]]:
    """The photos that the paper's filters keep, and how many are left after each step.

    The percentiles are of the photos that enough raters agree on.

    Args:
      ratings: of `read_ratings`.
      para: the folder.
    Returns:
      The photos, and "images", "agreed", "willing", "unwilling", "kept", "sessions".
    Raises:
      ParaError: no photo is left on either side.
    """
    agreed = ratings.filter(pl.col("agreement") >= LEAST_AGREEMENT)
    low, high = np.percentile(agreed["mean"].to_numpy(), PERCENTILES) if len(agreed) else (0.0, 0.0)
    kept = agreed.filter((pl.col("mean") < low) | (pl.col("mean") > high))
    willing = kept["mean"].to_numpy() > high
    counts = {
        "images": len(ratings),
        "agreed": len(agreed),
        "willing": int(willing.sum()),
        "unwilling": int((~willing).sum()),
        "kept": len(kept),
        "sessions": kept["session"].n_unique(),
    }
    if not counts["willing"] or not counts["unwilling"]:
        raise ParaError(
            f"{para / RATINGS}: of {len(ratings)} photos the filters keep {counts['willing']} willing and "
            f"{counts['unwilling']} unwilling ones, and both are needed; {REMEDY}"
        )
    session = np.unique(kept["session"].to_numpy(), return_inverse=True)[1]
    files = [para / "imgs" / session / image for session, image in kept.select("session", "image").iter_rows()]
    return Photos(files, session, kept["mean"].to_numpy(), willing), counts


def missing(photos: Photos) -> list[str]:
    """SESSION/IMAGE of the photos that are not there."""
    return ["/".join(file.parts[-2:]) for file in photos.files if not file.is_file()]


def named(names: Sequence[str]) -> str:
    """The first names of many, for a message."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
