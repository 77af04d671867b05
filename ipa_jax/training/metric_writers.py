"""What a run writes while it trains: scalars, images, texts, histograms and its config, to several places at once.

The classes have the method names of clu's MetricWriter, so that clu's own fit in their place; those need TensorFlow.
Files survive a kill: every row is flushed when written, and a run that resumes at a step drops the rows beyond it
(and a torn last line), so that a step stands in them once.
"""

import csv
import io
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np
import orjson
from tqdm import tqdm

from third_party_ports.files import write_text

Array = np.ndarray


class MetricWriter:
    """Writes nothing. A writer overrides what its medium can hold; `step` is the number of steps done."""

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """One number a name."""

    def write_images(self, step: int, images: Mapping[str, Array]) -> None:
        """[N, H, W, C] or [H, W, C] a name, C 1 or 3; uint8, or float in [0, 1]."""

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        """One text (markdown) a name."""

    def write_histograms(
        self, step: int, arrays: Mapping[str, Array], num_buckets: Mapping[str, int] | None = None
    ) -> None:
        """Numbers of any shape a name, counted in `num_buckets` (30 where unsaid) equal buckets."""

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        """The run's flat config: numbers, booleans and texts by name."""

    def flush(self) -> None:
        """Returns when all that was written is on disk."""

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

    def write_images(self, step: int, images: Mapping[str, Array]) -> None:
        for writer in self.writers:
            writer.write_images(step, images)

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        for writer in self.writers:
            writer.write_texts(step, texts)

    def write_histograms(
        self, step: int, arrays: Mapping[str, Array], num_buckets: Mapping[str, int] | None = None
    ) -> None:
        for writer in self.writers:
            writer.write_histograms(step, arrays, num_buckets)

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
    """One line a step on `stream`, above any progress bar."""

    def __init__(self, stream: IO[str] | None = None):
        self.stream = stream

    def _line(self, text: str) -> None:
        tqdm.write(text, file=self.stream or sys.stderr)

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        self._line(f"[{step}] " + ", ".join(f"{name}={float(value):.5g}" for name, value in scalars.items()))

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        for name, text in texts.items():
            self._line(f"[{step}] {name}: {text}")


class CsvWriter(MetricWriter):
    """`metrics.csv`: step,name,value, a row a scalar. Long, so that a new name never changes the header."""

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
    """`metrics.jsonl`: {"step", "time" (Unix seconds), "scalars" | "texts": {...}} a line, one {"hparams": {...}}."""

    def __init__(self, path: Path, resume_step: int | None):
        # A run writes its config each time it starts: the line without a step is dropped on resuming.
        keep_rows(path, resume_step, lambda line: orjson.loads(line)["step"])
        self.file = path.open("ab")

    def _line(self, content: dict) -> None:
        self.file.write(orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY))
        self.file.flush()

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        values = {name: float(value) for name, value in scalars.items()}  # orjson writes NaN as null: valid JSON
        self._line({"step": int(step), "time": time.time(), "scalars": values})

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        self._line({"step": int(step), "time": time.time(), "texts": dict(texts)})

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        self._line({"hparams": dict(hparams)})

    def close(self) -> None:
        self.file.close()


class TensorBoardWriter(MetricWriter):
    """Event files for TensorBoard, by tensorboard's own writer: no TensorFlow."""

    def __init__(self, folder: Path, resume_step: int | None):
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.Event, self.Summary, self.HistogramProto = Event, Summary, HistogramProto
        self.events = EventFileWriter(str(folder))
        # TensorBoard forgets what earlier files of the folder say of this step and later ones.
        first = 0 if resume_step is None else resume_step + 1
        start = SessionLog(status=SessionLog.START)
        self.events.add_event(Event(step=first, wall_time=time.time(), session_log=start))

    def _write(self, step: int, values: Iterator) -> None:
        summary = self.Summary(value=list(values))
        self.events.add_event(self.Event(step=int(step), wall_time=time.time(), summary=summary))

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        self._write(step, (self.Summary.Value(tag=k, simple_value=float(v)) for k, v in scalars.items()))

    def write_images(self, step: int, images: Mapping[str, Array]) -> None:
        self._write(step, (value for name, array in images.items() for value in self._images(name, array)))

    def _images(self, name: str, array: Array) -> Iterator:
        array = np.asarray(array)
        stack = array[None] if array.ndim == 3 else array
        for i, image in enumerate(stack):
            height, width, channels = image.shape
            png = self.Summary.Image(
                height=height, width=width, colorspace=channels, encoded_image_string=encode_png(image)
            )
            yield self.Summary.Value(tag=name if len(stack) == 1 else f"{name}/{i}", image=png)

    def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._write(step, (value for name, text in texts.items() for value in text_pb(name, text).value))

    def write_histograms(
        self, step: int, arrays: Mapping[str, Array], num_buckets: Mapping[str, int] | None = None
    ) -> None:
        buckets = num_buckets or {}
        self._write(step, (self._histogram(k, v, buckets.get(k, 30)) for k, v in arrays.items()))

    def _histogram(self, name: str, array: Array, buckets: int):
        x = np.asarray(array, np.float64).ravel()
        counts, edges = np.histogram(x, buckets)
        histo = self.HistogramProto(
            min=x.min(), max=x.max(), num=x.size, sum=x.sum(), sum_squares=x @ x, bucket_limit=edges[1:], bucket=counts
        )
        return self.Summary.Value(tag=name, histo=histo)

    def write_hparams(self, hparams: Mapping[str, Any]) -> None:
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        plain = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in hparams.items()}
        self._write(0, iter(hparams_pb(plain).value))

    def flush(self) -> None:
        self.events.flush()

    def close(self) -> None:
        self.events.close()


def encode_png(image: Array) -> bytes:
    """PNG of [H, W, C], C 1 or 3; uint8, or float in [0, 1]."""
    from PIL import Image

    image = np.asarray(image)
    if image.dtype != np.uint8:
        image = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, format="PNG")
    return buffer.getvalue()


def keep_rows(path: Path, step: int | None, step_of: Callable[[str], int], header: str = "") -> None:
    """Cuts a file of lines back to what a run had written by `step`; None starts it anew. Always writes `header`.

    A line goes when its step lies beyond, when `step_of` cannot read one, or when it has no end (a kill tore it).
    """
    kept = [header]
    if step is not None and path.exists():
        with path.open(encoding="utf-8", errors="replace", newline="\n") as file:  # texts may hold other line ends
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
      workdir: gets metrics.csv, metrics.jsonl and the event files; made when missing.
      kind: `config.train.writers`: "own", or "clu" for clu's console and event writers (they need TensorFlow) in place
        of ours; the CSV and the JSONL, which clu has not, are written either way.
      resume_step: the step of the checkpoint that was restored; rows beyond it are dropped. None starts anew.
      first_process: False on all processes but the first of a distributed run: these write nothing.
    Raises ValueError for another kind, ModuleNotFoundError for "clu" without TensorFlow.
    """
    if kind not in ("own", "clu"):
        raise ValueError(f"config.train.writers is {kind!r}; choose own or clu")
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
            "pip install tensorflow-cpu==2.21.0, or set --config.train.writers=own",
            name=error.name,
        ) from error
    return metric_writers
