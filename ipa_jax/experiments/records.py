"""What is kept of a finished run: one small JSON file with what defines it, its figures and its scores.

From these files alone a table is made again, or gone on with, on a machine that holds no data set.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_builders.options import differences

if TYPE_CHECKING:
    import polars as pl

DIGITS = 6  # significant ones of a stored z


class RecordError(ValueError):
    """A record of another run, or none at all; the message names the file, the fields and the remedy."""


@dataclass(frozen=True)
class Record:
    """A finished run. All of it is plain JSON.

    Attributes:
      name: of the run.
      run: what defines it; two runs of one definition are the same run.
      config: every field of its config and its value ({"model.width": 64, ...}); {} where nothing was trained.
      figures: metrics of the test split, as ipa_jax.metrics.split_metrics.evaluate returns them.
      scores: of the test split, {account: {group: [likes, z]}}, lists of one length; a third list numbers the posts
        where a post has several images in the group.
      validation: the same of the validation split, by which one choice is preferred to another; {} where nothing was
        trained.
      steps, best_step, parameters: of the training, 0 where nothing was trained.
      seconds: of the training alone.
      extra: what the table's own measurement added.
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


def plain(value: Any) -> Any:
    """The value as JSON gives it back: tuples as lists, keys as strings."""
    return json.loads(json.dumps(value))


def digest(definition: Mapping[str, Any]) -> str:
    """12 hex digits that name a definition, whatever the order of its keys."""
    text = json.dumps(plain(definition), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def save(file: Path, record: Record) -> None:
    """Writes a record whole: scores a group a line, so that differences between two versions can be read."""
    values = asdict(record)
    splits = {name: _lines(values.pop(name)) for name in ("validation", "scores")}
    head = json.dumps({"digest": record.digest} | values, indent=1)
    text = head.removesuffix("\n}") + "".join(f',\n "{name}": {lines}' for name, lines in splits.items()) + "\n}\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(text)
    temporary.rename(file)


def _lines(scores: Mapping[str, Mapping[str, list[list]]]) -> str:
    accounts = [
        f"  {json.dumps(account)}: {{\n"
        + ",\n".join(f"   {json.dumps(group)}: {json.dumps(columns)}" for group, columns in groups.items())
        + "}"
        for account, groups in scores.items()
    ]
    return "{\n" + ",\n".join(accounts) + "}"


def load(file: Path) -> Record | None:
    """The record of a file, None where there is none. Raises RecordError for a file that is no record."""
    if not file.is_file():
        return None
    try:
        stored = json.loads(file.read_text())
        written = stored.pop("digest")
        if unknown := sorted(stored.keys() - {each.name for each in fields(Record)}):
            raise RecordError(
                f"{file}: holds {', '.join(unknown)}, which this version does not know: a newer one made it; use that"
            )
        record = Record(**stored)
    except RecordError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{file}: not a record of a run ({error}); delete it") from error
    if written != record.digest:
        raise RecordError(f"{file}: its digest {written} is not that of its run {record.digest}: edited; delete it")
    return record


def require_same(file: Path, record: Record, run: Mapping[str, Any], config: Mapping[str, Any], free: Iterable[str]):
    """Raises RecordError where a record is of another run, naming each field that differs.

    Fields that only one of the configs has do not count: a new field's default is what the code did before.

    Args:
      run, config: the definition and the flat config that are wanted now.
      free: fields of the config that touch no figure.
    """
    common = (record.config.keys() & config.keys()) - set(free)
    stored, wanted = ({k: c[k] for k in sorted(common)} for c in (record.config, plain(config)))
    found = differences(record.run, plain(run), "run") + differences(stored, wanted, "config")
    if found:
        fields = "; ".join(f"{name} is {old!r} there and {new!r} here" for name, old, new in found)
        raise RecordError(f"{file} is the record of another run: {fields}. Make it again with --overwrite, or move it")


def compact(scores: "pl.DataFrame") -> dict[str, dict[str, list[list]]]:
    """A frame of scores (scored_pairs.py) as `Record.scores`; images in the frame's order."""
    found: dict[str, dict[str, list[list]]] = {}
    for (account, record), rows in scores.group_by("account", "record", maintain_order=True):
        columns = [rows["likes"].to_list(), [float(f"{z:.{DIGITS}g}") for z in rows["z"]]]
        posts = {name: number for number, name in enumerate(rows["post_id"].unique(maintain_order=True))}
        if len(posts) < len(rows):
            columns.append([posts[name] for name in rows["post_id"]])
        found.setdefault(account, {})[str(record)] = columns
    return found


def scores(record: Record, split: str = "test") -> "pl.DataFrame":
    """Scores of a split as ipa_jax.metrics.split_metrics and scored_pairs read them: account, record, image_id, post_id, likes, z.

    Args: split: "test" or "validation". Raises RecordError for a record without its scores.

    Ids of images and posts are numbers within their group: equal in two runs of the same data set.
    """
    import polars as pl

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


def pooled(records: Iterable[tuple[str, Record]], *, rescaled: bool = False, split: str = "test") -> "pl.DataFrame":
    """Scores of several runs of one method as one frame: groups are numbered through.

    Args:
      records: (name of the world, record). Accounts become "world/account", and a column group names "world/group", so
        that several seeds of one world keep the same accounts and groups, which a bootstrap draws together.
      rescaled: multiply each run's z by its own factor, fitted on its validation pairs (metrics.rescale_factor).
    """
    import polars as pl

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
