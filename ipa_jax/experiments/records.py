"""The record of a finished run: one small JSON file with the run's definition, figures and scores.

Records are enough to write a page again, or to resume a table, on a machine that holds no data set. Each is sealed
(third_party_ports.seals): one that was edited or damaged is refused.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import polars as pl

from data_builders.options import differences
from third_party_ports import seals
from third_party_ports.reading import reading

REMEDY = "restore the file, or delete it and make the run again"
DIGITS = 6  # significant digits of a stored z


class RecordError(ValueError):
    """A file holds the record of another run, a damaged one, or none. The message names it, its fields, what to do."""


@dataclass(frozen=True)
class Record:
    """A finished run, as plain JSON.

    Attributes:
      name: the name of the run.
      run: the run's definition; two runs of one definition are the same run.
      config: every field of the config with its value ({"model.width": 64, ...}); {} where nothing was trained.
      figures: metrics of the test split, as ipa_jax.metrics.split_metrics.evaluate returns them.
      scores: scores of the test split, {account: {group: [likes, z]}}, with an entry per image in both lists. If a post
        has several images in the group, a third list numbers the posts.
      validation: the same for the validation split, which decides between options; {} where nothing was trained.
      steps, best_step, parameters: of the training; 0 where nothing was trained.
      seconds: how long the training alone took.
      extra: what the table measured on the run besides its scores.
    """

    name: str
    run: dict[str, Any]
    config: dict[str, Any]
    figures: dict[str, Any]
    scores: dict[str, dict[str, list[list]]]
    steps: int = 0
    best_step: int = 0
    parameters: int = 0
    seconds: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, dict[str, list[list]]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return digest(self.run)


# The records of one row: "WORLD/SEED" of each run -> (name of the world, record).
Recorded = Mapping[str, tuple[str, Record]]


def plain(value: Any) -> Any:
    """The value after a round trip through JSON: tuples become lists, keys become strings."""
    return json.loads(json.dumps(value))


def digest(definition: Mapping[str, Any]) -> str:
    """12 hex digits that identify a definition, whatever the order of its keys."""
    text = json.dumps(plain(definition), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def save(file: Path, record: Record) -> None:
    """Writes a record, one group of scores per line, so that you can read the difference between two versions."""
    values = asdict(record)
    splits = {name: _lines(values.pop(name)) for name in ("validation", "scores")}
    head = json.dumps({"digest": record.digest, seals.FIELD: seals.EMPTY} | values, indent=1)
    text = head.removesuffix("\n}") + "".join(f',\n "{name}": {lines}' for name, lines in splits.items()) + "\n}\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    seals.write_text(file, text)


def _lines(scores: Mapping[str, Mapping[str, list[list]]]) -> str:
    accounts = [
        f"  {json.dumps(account)}: {{\n"
        + ",\n".join(f"   {json.dumps(group)}: {json.dumps(columns)}" for group, columns in groups.items())
        + "}"
        for account, groups in scores.items()
    ]
    return "{\n" + ",\n".join(accounts) + "}"


def load(file: Path) -> Record | None:
    """Reads a record; None if the file does not exist. Raises RecordError if it is damaged, edited, or no record."""
    if not file.is_file():
        return None
    stored = seals.read_json(file, RecordError, REMEDY)
    with reading(file, RecordError, REMEDY):
        written = stored.pop("digest")
        if unknown := sorted(stored.keys() - {each.name for each in fields(Record)}):
            raise RecordError(
                f"{file}: has fields that this version does not know ({', '.join(unknown)}): use the newer version "
                "that wrote it"
            )
        record = Record(**stored)
        for name in ("run", "config", "figures", "scores", "validation", "extra"):
            if not isinstance(getattr(record, name), dict):
                raise ValueError(f"the field {name!r} is a {type(getattr(record, name)).__name__}")
        if written != record.digest:
            raise ValueError(f"it was edited: its digest {written} does not match the field `run`")
    return record


def require_same(
    file: Path, record: Record, run: Mapping[str, Any], config: Mapping[str, Any], free: Iterable[str]
) -> None:
    """Raises RecordError if a record is of another run; the message names each field that differs.

    A field that only one of the two configs has is not compared: a new field's default is what the code did before.

    Args:
      file, record: the record, and the file that it comes from.
      run, config: the definition and the flat config that are wanted now.
      free: config fields that change no figure and are not compared.
    """
    common = (record.config.keys() & config.keys()) - set(free)
    stored, wanted = ({k: c[k] for k in sorted(common)} for c in (record.config, plain(config)))
    found = differences(record.run, plain(run), "run") + differences(stored, wanted, "config")
    if found:
        changes = "; ".join(f"{name} is {old!r} there and {new!r} here" for name, old, new in found)
        raise RecordError(
            f"{file} is the record of another run: {changes}. Move it away, or replace it with --overwrite"
        )


def compact(scores: pl.DataFrame) -> dict[str, dict[str, list[list]]]:
    """A frame of scores (see metrics/scored_pairs.py) as `Record.scores`; images stay in the frame's order."""
    found: dict[str, dict[str, list[list]]] = {}
    for (account, record), rows in scores.group_by("account", "record", maintain_order=True):
        columns = [rows["likes"].to_list(), [float(f"{z:.{DIGITS}g}") for z in rows["z"]]]
        posts = {name: number for number, name in enumerate(rows["post_id"].unique(maintain_order=True))}
        if len(posts) < len(rows):
            columns.append([posts[name] for name in rows["post_id"]])
        found.setdefault(str(account), {})[str(record)] = columns
    return found


def scores(record: Record, split: str = "test") -> pl.DataFrame:
    """The scores of a record, as ipa_jax.metrics reads them.

    Args:
      split: "test" or "validation".
    Returns:
      Columns account, record, image_id, post_id, likes, z. Images and posts are numbered within their group, so that
      two runs on the same data set have the same ids.
    Raises:
      RecordError: the record holds no scores of this split.
    """
    accounts = record.scores if split == "test" else record.validation
    if not accounts:
        raise RecordError(f"the record of {record.name} holds no {split} scores: make it again with --overwrite")
    rows = []
    for account, groups in accounts.items():
        for group, (likes, z, *more) in groups.items():
            posts = more[0] if more else range(len(likes))
            for number, (count, score, post) in enumerate(zip(likes, z, posts, strict=True)):
                rows.append((account, int(group), f"{group}-{number:04}", f"{group}-{post:04}", count, score))
    schema = {"account": pl.String, "record": pl.Int64, "image_id": pl.String, "post_id": pl.String,
              "likes": pl.Int64, "z": pl.Float64}  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def pooled(records: Iterable[tuple[str, Record]], *, rescaled: bool = False, split: str = "test") -> pl.DataFrame:
    """The scores of several runs of one method as one frame.

    Args:
      records: (name of the world, record) of each run.
      rescaled: multiply the z of each run by a factor of its own, fitted on validation pairs (metrics.rescale_factor).
      split: "test" or "validation".
    Returns:
      The columns of `scores`, and group. `record` is numbered through all runs. `account` is "world/account", and
      `group` is "world/group". Several runs on one world share both, so that a bootstrap draws them together.
    """
    parts, first = [], 0
    for world, record in records:
        factor = record.figures.get("rescale_factor") if rescaled else None
        columns = {
            "record": pl.col("record") + first,
            "account": pl.lit(f"{world}/") + pl.col("account"),
            "group": pl.lit(f"{world}/") + pl.col("record").cast(pl.String),
        }
        parts.append(scores(record, split).with_columns(**columns, z=pl.col("z") * (1.0 if factor is None else factor)))
        first = int(parts[-1]["record"].max()) + 1
    return pl.concat(parts)
