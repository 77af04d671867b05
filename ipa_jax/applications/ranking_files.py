"""A ranking as JSON, for programs, and as CSV, for spreadsheets."""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ipa_jax.applications.ranked_photo import RankedPhoto
from ipa_jax.applications.ranking import Ranking

FORMULA = "=+-@\t\r\n＝＋－＠"  # a cell that begins so is run by some spreadsheets # noqa: RUF001
DIGITS = 6  # after the point
NOTHING: Mapping[str, Any] = {}


Extra = Mapping[str, Mapping[str, Any]]  # name of a photo -> further columns of its own, the same for all photos


def to_json(ranking: Ranking, of_photo: Extra = NOTHING, **more: Any) -> str:
    """ranking.json: the fields of `Ranking`, floats with 6 digits after the point; null where a figure is missing.

    Args:
      of_photo: further fields of each photo.
      more: further fields of the record.
    """
    record = asdict(ranking)
    record["photos"] = [{**photo, **of_photo.get(photo["name"], NOTHING)} for photo in record["photos"]]
    return json.dumps(_plain(record | more), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(ranking: Ranking, of_photo: Extra = NOTHING) -> str:
    """ranking.csv: a row per photo, in order.

    Columns rank, photo, those of `of_photo`, picked (yes or no), unit, leads (yes or no), score, expected_low,
    expected_high, a column per scorer, and reason. A text that a spreadsheet would run as a formula gets an apostrophe
    in front.
    """
    scorers = list(ranking.photos[0].scores) if ranking.photos else []
    own = list(next(iter(of_photo.values()), NOTHING))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    head = ["picked", "unit", "leads", "score", "expected_low", "expected_high"]
    writer.writerow(["rank", "photo", *own, *head, *scorers, "reason"])
    for photo in ranking.photos:
        values = of_photo.get(photo.name, NOTHING)
        more = [_cell(values[name]) for name in own]
        writer.writerow([photo.rank, guarded(photo.name), *more, *_row(photo, scorers)])
    return buffer.getvalue()


def _row(photo: RankedPhoto, scorers: list[str]) -> list[Any]:
    low, high = photo.expected or ("", "")
    scores = [round(photo.scores[name], DIGITS) if math.isfinite(photo.scores[name]) else "" for name in scorers]
    answers = ["yes" if photo.picked else "no", photo.unit, "yes" if photo.leads else "no"]
    return [*answers, round(photo.score, DIGITS), low, high, *scores, photo.reason]


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return guarded(value)
    return "" if value is None else round(value, DIGITS)


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return _unicode(f"'{text}" if text[:1] in FORMULA and text else text)


def _unicode(text: str) -> str:
    """A file name may hold bytes that are no UTF-8, which could not be written."""
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return _unicode(value)
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
