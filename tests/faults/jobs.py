"""The commands that campaigns disturb: each runs in a folder of its own, and writes what `out` names there."""

import itertools
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import kill_resume
from data_builders.features.report import read_left_out
from data_builders.features.store import FeatureReader
from tests.faults.trials import Place, Trial
from tests.helpers import red_and_blue, shared_world
from tests.helpers.commands import succeed_here
from tests.helpers.shared_world import RUN

OUT = "out"
# What tells times, or is no result: logs, locks, what is kept to be quicker, and the compilations of a study.
NOT_COMPARED = (".*", "*.lock", "events.out.*", "metrics.csv", "metrics.jsonl", "compiled", "log.txt")
OPTIMISED = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}  # where running takes longer than compiling
PHOTOS = 24  # that fetch-images asks for


def contents(folder: Path) -> dict[str, bytes]:
    """The files below a folder that are compared, by their names in it; ports of a server here are left out."""
    found = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        str(name): re.sub(rb"127\.0\.0\.1:\d+", b"", path.read_bytes())
        for name, path in found.items()
        if not any(Path(part).match(pattern) for part in name.parts for pattern in NOT_COMPARED)
    }


def differences(wanted: Path, found: Path) -> list[str]:
    """Files that differ in two outputs of one job."""
    ours, theirs = contents(wanted), contents(found)
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def _other_rows(wanted: Path, found: Path) -> list[str]:
    """Rows that differ in two feature stores, whatever shards they are in."""
    ours, theirs = FeatureReader(wanted), FeatureReader(found)
    if read_left_out(wanted) != read_left_out(found):
        return ["left_out.json"]
    if sorted(ours.keys()) != sorted(theirs.keys()):
        return ["the keys"]
    different = []
    for account, name in sorted(ours.keys()):
        a, b = (vars(reader.load(account, [name])) for reader in (ours, theirs))
        same = (a[part] is b[part] or np.allclose(a[part], b[part], rtol=1e-4, atol=1e-5) for part in a)
        different += [] if all(same) else [f"{account}/{name}"]
    return different


def _nothing(folder: Path) -> None:
    """A job that needs nothing in its folder."""


class Job(NamedTuple):
    """A command.

    Attributes:
      line: the command and its flags; it writes into `out` of the folder that it runs in.
      prepare: puts what it needs into that folder.
      holds: whether a second one in the same folder is refused while it runs.
      differences: names what differs in two outputs.
      patience: seconds from a signal to its end; training ends the running step first.
      more: environment variables.
    """

    line: list[str]
    prepare: Callable[[Path], object] = _nothing
    holds: bool = True
    differences: Callable[[Path, Path], list[str]] = differences
    patience: float = 2.0
    more: Mapping[str, str] = {}


def jobs(shared: Path, url: str = "") -> dict[str, Job]:
    """The jobs by name. Makes what they read, once for all campaigns.

    Args:
      shared: the folder of the shared world.
      url: of a server of photos (`served`); without it nothing is fetched.
    """
    world, trained = shared_world.world(shared), shared_world.trained(shared)
    small = shared_world.once(shared / "small", _small_world)
    history = shared_world.once(shared / "history", _history)
    data, export = world / "data", trained / "export"
    training = {"differences": kill_resume.differences, "patience": 15.0}
    found = {
        "demo-world": Job(["demo-world", f"--out={OUT}/world", "--accounts=4", "--posts=10", "--side=48"]),
        "build": Job(["build", "--config=full:tiny", f"--raw={world}/raw", f"--features={world}/features",
                      f"--data_dir={OUT}"]),
        "extract": Job(["extract", "--config=light", f"--raw={small}/raw", f"--out={OUT}"],
                       differences=_other_rows, more=OPTIMISED),
        "train": Job(["train", "--config=basic:tiny", f"--config.data_dir={data}", f"--workdir={OUT}"], **training),
        "export": Job(["train", "--config=full:tiny", f"--config.data_dir={data}", f"--workdir={OUT}"],
                      partial(_unfinished, trained), **training),
        "evaluate": Job(["evaluate", f"--export={export}", "--split=test", f"--data_dir={data}",
                         f"--scores={OUT}/scores.parquet"], holds=False),
        "inspect": Job(["inspect", f"--data_dir={data}", f"--html={OUT}/a.html", f"--jsonl={OUT}/a.jsonl"],
                       holds=False),
        "report": Job(["report", "--workdir", str(trained), f"--data_dir={data}", f"--out={OUT}/report.html"],
                      holds=False),
        "tables": Job(["tables", f"--out={OUT}", f"--records={OUT}/records", "--configs=full", "--size=tiny",
                       "--seeds=0", "--accounts=20", "--posts=40"], partial(_study, world, trained)),
        "rank": Job(["rank", "--history=history", "--photos=photos", f"--out={OUT}"], partial(_copied, history),
                    more=OPTIMISED),
    }  # fmt: skip
    if url:
        found["fetch-images"] = Job(["fetch-images", "list.csv", f"--to={OUT}", "--rate=50"], partial(_list, url))
    return found


@contextmanager
def served(shared: Path) -> Iterator[str]:
    """Serves the photos of the shared world on this machine; yields the address."""
    photos = shared_world.once(shared / "served", _photos)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(photos))

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:  # a campaign has no end of its own; with its socket closed, the thread would spin for ever
            server.shutdown()


def _small_world(folder: Path) -> None:
    succeed_here("demo-world", f"--out={folder}", "--accounts=3", "--posts=10", "--side=48")


def _history(folder: Path) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir()
    red_and_blue.write_history(folder / "history", rng, posts=30)
    (folder / "photos").mkdir()
    for number in range(4):
        photo = red_and_blue.photo(red_and_blue.RED if number % 2 else red_and_blue.BLUE, rng)
        (folder / f"photos/{number}.jpg").write_bytes(photo)


def _photos(folder: Path) -> None:
    folder.mkdir()
    for number in range(PHOTOS):
        (folder / f"{number}.jpg").write_bytes(red_and_blue.photo(number * 9, np.random.default_rng(number)))


def _list(url: str, folder: Path) -> None:
    rows = [f"u,{n},{url}/{n}.jpg,9,{n + 5},0,{1_500_000_000 + n}" for n in range(PHOTOS)]
    header = "user,img_id,img_url,views,favorites,comments,upload_date"
    (folder / "list.csv").write_text("\n".join([header, *rows]) + "\n")


def _copied(history: Path, folder: Path) -> None:
    shutil.copytree(history, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".ipa_jax"))


def _unfinished(trained: Path, folder: Path) -> None:
    """The run with its checkpoints, whose end is still to be written."""
    ends = shutil.ignore_patterns("export", "results.json", "scores-*", ".lock")
    shutil.copytree(trained, folder / OUT, ignore=ends, dirs_exist_ok=True)


def _study(world: Path, trained: Path, folder: Path) -> None:
    """An --out that has the world, its data set and the model."""
    out = folder / OUT
    for place, target in {RUN.world.folder(out): world, RUN.data_dir(out): world / "data"}.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    shutil.copytree(trained, RUN.workdir(out), ignore=shutil.ignore_patterns("checkpoints"))


def over_jobs(
    place: Place,
    names: Sequence[str],
    trial: Callable[[str, Job, Place], Trial],
    wanted: Callable[[Job], bool] = lambda job: True,
) -> Iterator[Trial]:
    """Trials without end, over each job in turn: those that are named, or all that are wanted."""
    with served(place.shared) as url:
        found = {name: job for name, job in jobs(place.shared, url).items() if wanted(job)}
        for name in itertools.cycle(names or found):
            yield trial(name, found[name], place)
