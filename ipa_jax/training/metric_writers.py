"""What a run writes while it trains: scalars and its config, to several places at once.

The classes have the method names of clu's MetricWriter, so that clu's own, which need TensorFlow, can take their place.
Files survive a kill: every row is flushed when it is written. A run that resumes at a step drops the rows beyond it
(and a torn last line), so that each step is there once.
"""

import csv
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import orjson
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tqdm import tqdm

from third_party_ports.files import write_text


class MetricWriter:
    """Writes nothing. A writer overrides what its medium can hold; `step` is the number of steps done."""

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """One number per name."""

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        """The run's flat config: numbers, booleans and texts by name."""

    def flush(self) -> None:
        """Returns when everything is on disk."""

    def close(self) -> None:
        """Flushes; the writer is not used again."""
        self.flush()


class MultiWriter(MetricWriter):
    """Hands everything to each of `writers`; without any, writes nothing."""

    def __init__(self, writers: Sequence[MetricWriter]):
        self.writers = list(writers)

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        for writer in self.writers:
            writer.write_scalars(step, scalars)

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        for writer in self.writers:
            writer.write_hparams(hparams)

    def flush(self) -> None:
        for writer in self.writers:
            writer.flush()

    def close(self) -> None:
        for writer in self.writers:
            writer.close()


class ConsoleWriter(MetricWriter):
    """One line per step on `stream` (standard error unless given), above any progress bar."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        values = ", ".join(f"{name}={float(value):.5g}" for name, value in scalars.items())
        tqdm.write(f"[{step}] {values}", file=self.stream or sys.stderr)


class CsvWriter(MetricWriter):
    """`metrics.csv`: step,name,value, a row per scalar. Long, so that a new name never changes the header."""

    HEADER = "step,name,value\n"

    def __init__(self, path: Path, resume_step: int | None):
        keep_rows(path, resume_step, lambda line: int(next(csv.reader([line]))[0]), header=self.HEADER)
        self.file = path.open("a", encoding="utf-8", newline="")
        self.rows = csv.writer(self.file, lineterminator="\n")

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        self.rows.writerows((step, name, repr(float(value))) for name, value in scalars.items())
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class JsonlWriter(MetricWriter):
    """`metrics.jsonl`: {"step", "time" (Unix seconds), "scalars": {...}} per line, and one {"hparams": {...}}."""

    def __init__(self, path: Path, resume_step: int | None):
        # A run writes its config each time it starts: resuming drops the line without a step.
        keep_rows(path, resume_step, lambda line: orjson.loads(line)["step"])
        self.file = path.open("ab")

    def _line(self, content: dict) -> None:
        self.file.write(orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY))
        self.file.flush()

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        values = {name: float(value) for name, value in scalars.items()}  # orjson writes NaN as null: valid JSON
        self._line({"step": int(step), "time": time.time(), "scalars": values})

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        self._line({"hparams": dict(hparams)})

    def close(self) -> None:
        self.file.close()


class TensorBoardWriter(MetricWriter):
    """Event files for TensorBoard, by tensorboard's own writer: no TensorFlow."""

    def __init__(self, folder: Path, resume_step: int | None):
        self.events = EventFileWriter(str(folder))
        # TensorBoard forgets what earlier files of the folder say of this step and later ones.
        first = 0 if resume_step is None else resume_step + 1
        start = SessionLog(status=SessionLog.START)
        self.events.add_event(Event(step=first, wall_time=time.time(), session_log=start))

    def _write(self, step: int, values: Iterable[Summary.Value]) -> None:
        summary = Summary(value=list(values))
        self.events.add_event(Event(step=int(step), wall_time=time.time(), summary=summary))

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        self._write(step, (Summary.Value(tag=k, simple_value=float(v)) for k, v in scalars.items()))

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        plain = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in hparams.items()}
        self._write(0, hparams_pb(plain).value)

    def flush(self) -> None:
        self.events.flush()

    def close(self) -> None:
        self.events.close()


def keep_rows(path: Path, step: int | None, step_of: Callable[[str], int], header: str = "") -> None:
    """Cuts a file of lines back to what a run had written by `step`; None empties it. Always writes `header`.

    A line is dropped if its step lies beyond, if `step_of` finds none, or if it has no end (a kill tore it).
    """
    kept = [header]
    if step is not None and path.exists():
        with path.open(encoding="utf-8", errors="replace", newline="\n") as file:  # a name may hold other line ends
            for line in file:
                try:
                    if line.endswith("\n") and step_of(line) <= step:
                        kept.append(line)
                except (ValueError, KeyError, IndexError):
                    continue
    write_text(path, "".join(kept))


def create_writer(
    workdir: str | Path, kind: str, *, resume_step: int | None = None, first_process: bool = True
) -> MultiWriter:
    """The writers of a run.

    Args:
      workdir: gets metrics.csv, metrics.jsonl and the event files; it is made if it does not exist.
      kind: `config.train.writers`: "own", or "clu" for clu's console and event writers, which need TensorFlow, in
        place of ours. The CSV and the JSONL, which clu does not have, are written either way.
      resume_step: the step of the restored checkpoint; rows beyond it are dropped. None starts the files anew.
      first_process: False on all processes but the first of a distributed run, which write nothing.
    Raises ValueError for another kind, ModuleNotFoundError for "clu" without TensorFlow.
    """
    if kind not in ("own", "clu"):
        raise ValueError(f"config.train.writers is {kind!r}; set it to own or clu")
    workdir = Path(workdir)
    clu_writers = import_clu_writers() if kind == "clu" else None
    if not first_process:
        return MultiWriter([])
    workdir.mkdir(parents=True, exist_ok=True)
    if clu_writers is None:
        shown = [ConsoleWriter(), TensorBoardWriter(workdir, resume_step)]
    else:
        shown = [clu_writers.create_default_writer(str(workdir), asynchronous=False)]
    files = [CsvWriter(workdir / "metrics.csv", resume_step), JsonlWriter(workdir / "metrics.jsonl", resume_step)]
    return MultiWriter(shown + files)


def import_clu_writers() -> ModuleType:
    """The module clu.metric_writers. Raises ModuleNotFoundError with the remedy where TensorFlow is not installed."""
    try:
        from clu import metric_writers
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "config.train.writers=clu needs TensorFlow, which is not installed: "
            "pip install 'ipa-jax[tf]', or set --config.train.writers=own",
            name=error.name,
        ) from error
    return metric_writers
