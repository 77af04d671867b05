"""The readers of strangers' files and flags that are fuzzed, each with a valid example."""

import collections
import contextlib
import io
import pickle
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from PIL import Image, PngImagePlugin
from safetensors.numpy import save

from data_builders import options, videos
from data_builders.cli import ConfigParser
from data_builders.features.rows import StoreError
from data_builders.features.store import FeatureReader
from data_builders.posts.post import RawDataError
from data_builders.posts.read import read_posts
from ipa_jax.applications import prompts
from ipa_jax.applications.para import ratings
from ipa_jax.human_study.answers import Answers, Study
from ipa_jax.human_study.pairs import Pair
from ipa_jax.training import preflight
from tests.helpers import hostile_checkpoints, made_para, raw_layout, tiny_store
from tests.helpers import videos as made_videos
from tests.helpers.paths import GOLDEN
from third_party_ports.checkpoints import files
from third_party_ports.checkpoints.weights import WeightsError


class Target(NamedTuple):
    """A reader to fuzz.

    Attributes:
      make: writes a valid example into a folder and returns its files; one of them is changed in each trial.
      read: reads the folder and returns plain values.
      errors: what it may raise.
      compare: whether a value that is read has to be the original one, because a checksum protects it.
      writes: whether reading changes the files.
    """

    make: Callable[[Path], list[Path]]
    read: Callable[[Path], Any]
    errors: tuple[type[BaseException], ...]
    compare: bool = False
    writes: bool = False


def _weights(path: Path) -> dict[str, np.ndarray]:
    return files.read(path, ("state_dict", "model")).tensors


def _weights_target(make: Callable[[Path], object], compare: bool = False) -> Target:
    def write(folder: Path) -> list[Path]:
        make(folder / "weights")
        return [folder / "weights"]

    return Target(write, lambda folder: _weights(folder / "weights"), (WeightsError,), compare)


def _hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["dense/kernel"] = np.arange(12, dtype=np.float32).reshape(3, 4)
        file.create_dataset("conv/kernel", data=np.arange(600.0), chunks=(50,), compression="gzip", shuffle=True)


def _mixed(path: Path) -> None:
    """Tensors, NumPy arrays and other objects, in an old file, whose pickle has no checksum."""
    arrays = pickle.dumps({"w": np.ones((2, 3)), "seen": collections.Counter([1, 1])}, 2)[2:-1]
    head = hostile_checkpoints.MAGIC + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    content = b"\x80\x02}(" + b"".join(
        hostile_checkpoints.text(name) + held for name, held in (("n", arrays), ("a", hostile_checkpoints.tensor()))
    )
    storage = pickle.dumps(["0"], 2) + struct.pack("<q", 6) + hostile_checkpoints.FLOATS
    path.write_bytes(head + content + b"u." + storage)


def _csv(folder: Path) -> list[Path]:
    lines = ["image,account,likes,timestamp,caption"]
    lines += [
        f'a{n % 3}/p{n}.jpg,a{n % 3},{100 + n * 7},2020-01-{n + 1:02d}T09:30:00Z,"a photo, {n}"' for n in range(25)
    ]
    for n in range(25):
        raw_layout.save_image(folder / f"a{n % 3}/p{n}.jpg", n)
    (folder / "posts.csv").write_text("\n".join(lines) + "\n")
    return [folder / "posts.csv"]


def _influencers(folder: Path) -> list[Path]:
    raw = raw_layout.InstagramFolder(folder / "raw")
    for account in ("anna", "ben"):
        raw.account(account)
        for number in range(6):
            raw.post(account, f"p{number}", raw_layout.node(100 + number, 1_500_000_000 + number * 10**5))
    root = raw.write()
    mapping = [root / "influencers.txt", root / "JSON-Image_files_mapping.txt"]
    return [*mapping, *sorted((root / "info").glob("*.info"))[:3]]


def _posts(raw: Path) -> int:
    with contextlib.redirect_stderr(io.StringIO()):
        return len(read_posts(raw, raw_layout.OPTIONS)[0])


def _store(folder: Path) -> list[Path]:
    with tiny_store.open_writer(folder / "store") as writer:
        for number in range(5):
            writer.write("a", f"i{number}", 30, 40, **tiny_store.row(number, [tiny_store.person(0.5)]))
    return [path for path in sorted((folder / "store").iterdir()) if path.is_file()]


def _read_store(folder: Path) -> dict[str, np.ndarray]:
    reader = FeatureReader(folder / "store")
    features = reader.load("a", [f"i{number}" for number in range(5)])
    return {name: np.asarray(value) for name, value in vars(features).items() if isinstance(value, np.ndarray)}


def _study(folder: Path) -> list[Path]:
    answers = Answers(folder / "study.db")
    answers.create(Study("data", "test", "0" * 8, 3, 0))
    pairs = [Pair(*range(n, n + len(Pair._fields))) for n in range(3)]
    code = answers.enter("", "Anna", lambda _: pairs, 0.0)
    person = answers.participant(code)
    assert person is not None
    answers.answer(person.id, answers.upcoming(person.id)[0].key, "left", 100.0)
    return [folder / "study.db"]


def _read_study(folder: Path) -> list:
    answers = Answers(folder / "study.db")
    answers.study()
    for person in answers.participants():
        answers.upcoming(person.id)
    return answers.choices()


@cache
def _fields() -> dict[str, str]:
    """Every field of the config that has a value, and the value."""
    config = ConfigParser("train", "").parse_args(["--config=full:tiny"]).config

    def fields(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
        for name, value in values.items():
            if isinstance(value, dict):
                yield from fields(value, f"{prefix}{name}.")
            elif value is not None:
                yield f"{prefix}{name}", str(value)

    return dict(fields(config.to_dict(), ""))


def _flags(folder: Path) -> list[Path]:
    (folder / "flags").write_text("\n".join(_fields().values()))
    return [folder / "flags"]


def _read_flags(folder: Path) -> None:
    """Sets the fields whose values were changed, and checks the config. No command line can hold a NUL."""
    values = (folder / "flags").read_bytes().decode("utf-8", "replace").replace("\0", "").split("\n")
    pairs = zip(_fields().items(), values, strict=False)
    changed = [f"--config.{name}={value}" for (name, before), value in pairs if value != before][:3]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            config = ConfigParser("train", "").parse_args(["--config=full:tiny", *changed]).config
    except SystemExit as end:
        if end.code != 2 or not said.getvalue().startswith("error: "):
            raise RuntimeError(f"exit {end.code}: {said.getvalue()[:200]}") from end
        raise
    try:
        options.check(config.data.to_dict())
        options.check_extract(config.extract.to_dict())
        preflight.check_model(config)
    except ValueError as error:
        if "config." not in str(error):
            raise RuntimeError(f"no field is named: {error}") from error
        raise


def _generated(folder: Path) -> list[Path]:
    """Photos with a sidecar, with the texts of Stable Diffusion web UI and with a graph of ComfyUI."""
    graph = '{"3": {"inputs": {"positive": ["6", 0]}}, "6": {"inputs": {"text": "a hill at dawn"}}}'
    texts = {
        "a": {},
        "b": {"parameters": "a hill\nNegative prompt: rain\nSteps: 20, Size: 64x48"},
        "c": {"prompt": graph},
    }
    for name, chunks in texts.items():
        info = PngImagePlugin.PngInfo()
        for key, text in chunks.items():
            info.add_text(key, text)
        Image.new("RGB", (16, 12)).save(folder / f"{name}.png", pnginfo=info)
    (folder / "a.txt").write_text("a hill by the sea\n")
    return sorted(folder.iterdir())


def _read_prompts(folder: Path) -> list[tuple[prompts.Prompt, str]]:
    return [prompts.prompt_of(photo) for photo in sorted(folder.glob("*.png"))]


def _para(folder: Path) -> list[Path]:
    made_para.annotate(folder, [Path(f"session{n % 3}/iaa_pub{n}_.jpg") for n in range(20)], np.linspace(1, 5, 20))
    return [folder / ratings.RATINGS]


def _read_para(folder: Path) -> dict[str, int]:
    return ratings.select(ratings.read_ratings(folder), folder)[1]


def _video(folder: Path) -> list[Path]:
    pictures = [made_videos.noise(number) for number in range(12)]
    return [made_videos.write(folder / f"v.{kind}", pictures, gop=4) for kind in ("mp4", "mkv", "avi")]


def _read_video(folder: Path) -> int:
    count = 0
    for path in sorted(folder.iterdir()):
        with videos.Video(path) as video:
            count += sum(1 for _ in video.frames(every=1))
    return count


TARGETS = {
    "pth": _weights_target(lambda path: shutil.copy(GOLDEN / "torch_files/wrapped_model.pth", path), compare=True),
    "pth before 1.6": _weights_target(lambda path: shutil.copy(GOLDEN / "torch_files/legacy_before_1_6.pth", path)),
    "pth with objects": _weights_target(_mixed),
    "safetensors": _weights_target(
        lambda path: path.write_bytes(save({"a": np.ones((3, 4), np.float32), "b.c": np.arange(5)}))
    ),
    "hdf5": _weights_target(_hdf5),
    "npz": _weights_target(
        lambda path: np.savez_compressed(path.open("wb"), **{"a": np.ones((3, 4)), "b/c": np.arange(9)}), compare=True
    ),
    "config flags": Target(_flags, _read_flags, (SystemExit, ValueError)),
    "posts.csv": Target(_csv, _posts, (RawDataError,)),
    "influencer files": Target(_influencers, lambda folder: _posts(folder / "raw"), (RawDataError,)),
    "feature store": Target(_store, _read_store, (StoreError, FileNotFoundError), compare=True),
    "study answers": Target(_study, _read_study, (OSError,), writes=True),
    "prompts": Target(_generated, _read_prompts, ()),
    "PARA ratings": Target(_para, _read_para, (ratings.ParaError,)),
}
if videos.av is not None:
    TARGETS["video"] = Target(_video, _read_video, (videos.VideoError,))
