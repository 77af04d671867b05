"""What the project keeps on disk: how each kind is made in a small form, and how all of it is read."""

import contextlib
import hashlib
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import polars as pl
from absl import logging

from data_builders import photos
from data_builders.dataset import DatasetError, GroupDataset
from data_builders.features.report import Report, read_left_out, read_report, write_report
from data_builders.features.rows import StoreError
from data_builders.features.store import FeatureReader
from data_builders.top3000.probe import probe_bytes
from ipa_jax.experiments import records
from ipa_jax.human_study import pairs
from ipa_jax.human_study.answers import Answers, Study
from ipa_jax.human_study.score import score
from ipa_jax.metrics.score_files import ScoresError
from ipa_jax.report.runs import ReportError, read_build_report, read_run
from ipa_jax.training import rescale
from ipa_jax.training.checkpoints import CheckpointError, Checkpoints
from ipa_jax.training.export import load_config, load_export
from ipa_jax.training.export_folder import ExportError, open_export
from ipa_jax.training.state import TrainState
from ipa_jax.training.trained_on import load_trained_on
from ipa_jax.training.workdir import WorkdirError
from tests.helpers import participants, shared_world, tiny_store
from tests.helpers.paths import ROOT
from third_party_ports.checkpoints import sealed
from third_party_ports.checkpoints.weights import WeightsError, load_safetensors

PAIRS = 5
_RECORDS = ("full-seed0.json", "basic-seed1.json", "chance-seed0.json")  # of docs/runs/tables


class Artefact(NamedTuple):
    """A kind of artefact.

    Attributes:
      make: writes one into a folder that exists.
      read: reads all of it; returns its values by name, any nested plain values, arrays and frames.
      errors: what it raises for damage.
      compared: whether the values have to be the original ones; a photo has nothing that would tell.
      files: a pattern of the files that are damaged.
      log: whether damage is told by a warning, and something intact stands in.
    """

    make: Callable[[Path], object]
    read: Callable[[Path], Any]
    errors: tuple[type[Exception], ...]
    compared: bool = True
    files: str = "**/*"
    log: bool = False


def digest(value: Any) -> str:
    """Names a value: equal ones have equal names."""
    sha = hashlib.sha256()
    _add(sha, value)
    return sha.hexdigest()


def _add(sha: Any, value: Any) -> None:
    if isinstance(value, dict):
        for name in sorted(value, key=repr):
            sha.update(repr(name).encode())
            _add(sha, value[name])
    elif isinstance(value, (list, tuple)):
        sha.update(f"[{len(value)}".encode())
        for each in value:
            _add(sha, each)
    elif isinstance(value, pl.DataFrame):
        _add(sha, value.to_dict(as_series=False))
    elif isinstance(value, np.ndarray):
        sha.update(f"{value.dtype}{value.shape}".encode())
        sha.update(repr(value.tolist()).encode() if value.dtype == object else np.ascontiguousarray(value).tobytes())
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        _add(sha, vars(value))
    else:
        sha.update(repr(value).encode())


def artefacts(shared: Path) -> dict[str, Artefact]:
    """All kinds by name. Makes the shared world and its model if they are not there."""
    world, run = shared_world.world(shared), shared_world.trained(shared)
    version = next((world / "data/top3000").glob("*.*.*"))
    ends = shutil.ignore_patterns("checkpoints", "export", "events.*")
    return {
        "data set": Artefact(lambda to: _copy(version, to), _read_data, (DatasetError, FileNotFoundError)),
        "feature store": Artefact(_make_store, _read_store, (StoreError, FileNotFoundError)),
        "export": Artefact(lambda to: _copy(run / "export", to), _read_export, (ExportError,)),
        "checkpoints": Artefact(_make_checkpoints, _read_checkpoints, (CheckpointError,), log=True),
        "weights": Artefact(_make_weights, _read_weights, (WeightsError,)),
        "results and scores": Artefact(
            lambda to: _copy(run, to, ends), _read_run, (WorkdirError, ScoresError, FileNotFoundError, ReportError),
            files="[cs]*.*[nt]",
        ),
        "results.json": Artefact(
            lambda to: _copy(run, to, ends), _read_run, (WorkdirError, ScoresError, FileNotFoundError, ReportError),
            files="results.json",
        ),
        "records": Artefact(_copy_records, _read_records, (records.RecordError,)),
        "human study": Artefact(lambda to: _make_study(to, world / "data"), lambda at: _read_study(at, world / "data"),
                                (OSError, ValueError), files="*.sqlite"),
        "photos": Artefact(_make_photos, _read_photos, (photos.PhotoError, OSError), compared=False),
    }  # fmt: skip


def _copy(source: Path, to: Path, ignore: Any = None) -> None:
    shutil.copytree(source, to, dirs_exist_ok=True, ignore=ignore)


def _read_data(folder: Path) -> dict:
    found: dict[str, Any] = {}
    for split in ("train", "validation", "test"):
        data = GroupDataset(folder, split)
        groups = [group | {"depth": np.asarray(group["depth"])} for group in data.get(range(len(data)))]
        found[split] = [groups, data.groups, data.images, data.options]
        found["report"] = read_build_report(data.info)
    return found


def _make_store(folder: Path) -> None:
    with tiny_store.open_writer(folder) as writer:
        for number in range(7):
            writer.write("a", f"i{number}", 30, 40, **tiny_store.row(number, [tiny_store.person(0.5)]))
    write_report(Report(written=7, left_out={("a", f"j{n}"): "image unreadable" for n in range(3)}), folder)


def _read_store(folder: Path) -> dict:
    reader, names = FeatureReader(folder), [f"i{number}" for number in range(7)]
    if missing := reader.missing([("a", name) for name in names]):
        raise StoreError(f"{folder}: no features of {missing}")  # what a build leaves out as "no features", counted
    found = {"header": reader.header, "features": reader.load("a", names)}
    found |= {"texts": reader.caption_texts("a", names), "depth": reader.depth("a", names)}
    return found | {"report": read_report(folder), "left out": read_left_out(folder)}


def _read_export(folder: Path) -> dict:
    variables, config, data = load_export(folder)
    more = [load_config(folder / "config.json").to_dict(), rescale.load(open_export(folder)), load_trained_on(folder)]
    more[-1] = more[-1] and more[-1].to_json()
    return {"variables": variables, "config": config.to_dict(), "data": data, "more": more}


def _state(step: int) -> TrainState:
    leaf = np.random.default_rng(step).random((3, 40), np.float32)
    return TrainState(
        step=np.array(step, np.int32), params={"a": {"kernel": leaf}}, batch_stats={}, ema_params={}, opt_state=(leaf,)
    )


def _make_checkpoints(folder: Path) -> None:
    checkpoints = Checkpoints(folder)
    for step, accuracy in ((5, 0.6), (10, 0.5), (15, 0.4), (20, None)):
        checkpoints.save(step, _state(step), {"step": step, "seconds": 1.5, "seed": 0, "data": "abc"}, accuracy)
        checkpoints.wait()
    checkpoints.close()


def _read_checkpoints(folder: Path) -> bool:
    """Whether the state that a run resumes from is one that was saved, and its best step the best."""
    checkpoints = Checkpoints(folder)
    try:
        found = checkpoints.latest(_state(0))
        if found is None:
            raise CheckpointError(f"{folder}: no checkpoint is left, so the run begins again")
        state, position = found
        step = int(state.step)
        same = jax.tree.all(jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), state, _state(step)))
        return same and position["step"] == step and int(checkpoints.best(_state(0)).step) == 5
    finally:
        checkpoints.close()


def _make_weights(folder: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {f"layer{n}.weight": rng.random((20, 9), np.float32) for n in range(6)}
    sealed.save(tensors, folder / "net.safetensors", {"licence": "MIT"})


def _read_weights(folder: Path) -> dict:
    return load_safetensors(folder / "net.safetensors")


def _read_run(folder: Path) -> dict:
    run = read_run("run", folder)
    return {"results": run.results, "scores": run.scores, "config": run.config}


def _copy_records(folder: Path) -> None:
    for name in _RECORDS:
        shutil.copy(ROOT / "docs/runs/tables" / name, folder)


def _read_records(folder: Path) -> dict:
    found = {}
    for name in _RECORDS:
        found[name], wanted = records.load(folder / name), records.load(ROOT / "docs/runs/tables" / name)
        if found[name] is None:
            raise records.RecordError(f"{folder / name} is missing, so its run is made again")
        records.require_same(folder / name, found[name], wanted.run, wanted.config, ())  # as who asks for it does
    return found


def _make_study(folder: Path, data: Path) -> None:
    dataset = GroupDataset(data, "train", depth=False)
    answers = Answers(folder / "answers.sqlite")
    answers.create(Study("data", "train", pairs.digest(dataset), PAIRS, 0))
    for name in ("Ada", "Bob", "Cem", "Dot"):
        person = participants.enter(answers, dataset, name)
        for second in range(1, PAIRS + 1):
            answers.answer(person, answers.upcoming(person)[0].key, ("left", "right")[second % 2], float(second))
    for extra in folder.glob("*-*"):  # SQLite's own files
        extra.unlink()


def _read_study(folder: Path, data: Path) -> dict:
    try:
        found = score(Answers(folder / "answers.sqlite"), GroupDataset(data, "train", depth=False), draws=20)
        return {name: value for name, value in found.items() if name not in ("data",)}
    finally:
        for extra in folder.glob("*.sqlite-*"):
            extra.unlink()


def _make_photos(folder: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize((64, 48))
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, options in {"a.jpg": {"exif": exif}, "b.png": {"exif": exif}, "c.webp": {}, "d.tif": {}}.items():
        image.save(folder / name, **options)
    image.convert("P").save(folder / "e.png", transparency=3)


def _read_photos(folder: Path) -> dict:
    """Raises PhotoError where any photo cannot be read; AssertionError where the probe says otherwise."""
    for file in sorted(folder.iterdir()):
        probed = probe_bytes(file.read_bytes())
        try:
            photos.read(file), photos.read_near(file, 8), photos.upright(file, near=16)
        except photos.PhotoError as error:
            assert probed is None, f"{file.name} is accepted by the probe alone"
            raise photos.PhotoError(f"{file.name}: {error}") from error
        assert probed is not None, f"{file.name} is refused by the probe alone"
    return {}


@contextlib.contextmanager
def heard() -> Iterator[io.StringIO]:
    """What a block says on standard error and in warnings of the log."""
    said = io.StringIO()
    handler = logging.get_absl_handler()
    before, handler.python_handler.stream = handler.python_handler.stream, said
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            yield said
    finally:
        handler.python_handler.stream = before
