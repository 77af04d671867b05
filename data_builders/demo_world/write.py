"""Writes a whole demo world: the accounts on all cores, then the files that they share."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tqdm import tqdm

from data_builders import frames
from data_builders.demo_world import instagram, plants
from data_builders.demo_world.account import Arguments, Written, is_constant, write_account
from data_builders.demo_world.defects import Defect, expected_skips, plan
from data_builders.demo_world.features import EXTRACTORS
from data_builders.demo_world.parameters import Parameters
from data_builders.features.store import FeatureWriter
from third_party_ports import disks
from third_party_ports.files import lock
from third_party_ports.worker_process import map_in_processes

FORMAT = 2  # raise it when the same arguments come to draw another world
_SILENT = 7  # the stream of random numbers of the accounts without posts


class WorldError(ValueError):
    """The folder or an argument cannot be used; the message says what to do."""


def write_world(out: Path, arguments: Arguments, parameters: Parameters, processes: int | None = None) -> bool:
    """Writes OUT/raw, OUT/features, OUT/truth.parquet and OUT/world.json. The same arguments give the same bytes.

    Args:
      out: the folder to make. It appears when it is complete. A complete world of the same arguments is kept as it is.
      arguments, parameters: what to draw.
      processes: processes that draw at a time; None: one per core.

    Returns:
      Whether the world was written; False if it existed already.

    Raises:
      WorldError: `out` is something else or a world of other arguments, or an argument is out of range.
      BlockingIOError: another process writes this world.
      DiskError: the disk is full or may not be written into.
    """
    _check(arguments)
    command = {"format": FORMAT, "arguments": asdict(arguments), "parameters": asdict(parameters)}
    if _exists(out, command):
        return False
    staging = out.with_name(out.name + ".tmp")
    with disks.writing(staging):
        staging.mkdir(parents=True, exist_ok=True)
    with lock(staging):
        world = staging / "world"
        shutil.rmtree(world, ignore_errors=True)  # of a run that was killed
        try:
            if _exists(out, command):  # by a process that has just ended
                return False
            with disks.writing(out):
                _write(world, command, arguments, plants.parameters_of(arguments.plant, parameters), processes)
                world.rename(out)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return True


def _write(
    out: Path, command: dict[str, Any], arguments: Arguments, parameters: Parameters, processes: int | None
) -> None:
    raw = out / "raw"
    for folder in ("image", "info"):
        (raw / folder).mkdir(parents=True)
    written = _write_accounts(out, arguments, parameters, processes or os.cpu_count() or 1)
    silent = _silent_accounts(arguments, parameters)
    influencers = [instagram.HEADER, "=" * 60, *(account.influencer for account in written), *silent.values()]
    (raw / "influencers.txt").write_text("\n".join(influencers) + "\n", encoding="utf-8-sig")
    rows = [instagram.MAPPING_HEADER, *(row for account in written for row in account.rows)]
    (raw / "JSON-Image_files_mapping.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    _write_truth(out / "truth.parquet", written)
    world = command | _summary(written, list(silent), arguments, parameters)
    (out / "world.json").write_text(json.dumps(world, indent=2) + "\n")


def _check(arguments: Arguments) -> None:
    lowest = {"accounts": 1, "posts": 2, "side": 16, "depth_side": 8, "seed": 0}
    for name, least in lowest.items():
        value = getattr(arguments, name)
        if value < least:
            raise WorldError(f"--{name} is {value}: set it to {least} or more")
    if arguments.plant not in (None, *plants.PLANTS):
        raise WorldError(f"--plant is {arguments.plant}: set it to one of {', '.join(plants.PLANTS)}")


def _exists(out: Path, command: dict[str, Any]) -> bool:
    """Whether `out` is the complete world of this command. Raises WorldError if it is something else."""
    if not out.exists():
        return False
    try:
        world = json.loads((out / "world.json").read_text())
    except (OSError, ValueError):
        world = None
    if not isinstance(world, dict) or not command.keys() <= world.keys():
        raise WorldError(f"{out} exists but is not a demo world (it has no readable world.json): choose another folder")
    different = [
        f"{part}.{name}" if name else part
        for part, wanted in command.items()
        for name, value in (wanted.items() if isinstance(wanted, dict) else [("", wanted)])
        if (world[part].get(name) if name else world[part]) != value
    ]
    if different:
        raise WorldError(
            f"{out} holds a world that differs in {', '.join(different)}: choose another folder, or delete this one"
        )
    return True


def _write_accounts(out: Path, arguments: Arguments, parameters: Parameters, processes: int) -> list[Written]:
    """Writes all accounts, in order. Their features go straight into the store, because they are most of the memory."""
    planted = plan(arguments.seed, arguments.accounts, arguments.posts, parameters)
    written = []
    with (
        FeatureWriter(out / "features", extractors=EXTRACTORS, depth_side=arguments.depth_side) as store,
        tqdm(total=arguments.accounts * arguments.posts, unit="post", desc="draw", smoothing=0.05) as progress,
    ):
        for account in _run(out / "raw", planted, arguments, parameters, processes):
            for image_id, row in account.features:
                store.write(account.user, image_id, **vars(row))
            account.features.clear()
            written.append(account)
            progress.update(arguments.posts)
    return written


def _run(
    raw: Path, planted: list[list[Defect]], arguments: Arguments, parameters: Parameters, processes: int
) -> Iterator[Written]:
    write = partial(write_account, raw, arguments=arguments, parameters=parameters)
    yield from map_in_processes(write, range(arguments.accounts), planted, processes=min(processes, arguments.accounts))


def _silent_accounts(arguments: Arguments, parameters: Parameters) -> dict[str, str]:
    """Rows of influencers.txt, by user, for accounts without posts. They count among the most-followed accounts."""
    rng = np.random.default_rng([arguments.seed, _SILENT])
    rows = {}
    for i in range(parameters.silent_accounts):
        user = instagram.user_name(arguments.accounts + i, rng)
        followers = round(float(np.exp(np.log(parameters.followers) + rng.normal())))
        rows[user] = instagram.influencer_row(user, "other", followers, 100, 0)
    return rows


def _write_truth(path: Path, written: list[Written]) -> None:
    rows = pl.DataFrame([row for account in written for row in account.truth])
    frames.write(rows.sort("account", "time", "post_id", "image_id"), path)


def _summary(written: list[Written], silent: list[str], arguments: Arguments, parameters: Parameters) -> dict[str, Any]:
    """What world.json says of the world besides the command."""
    planted = [defect for account in written for defect in account.planted]
    constant = [
        account.user for number, account in enumerate(written) if is_constant(number, arguments.accounts, parameters)
    ]
    return {
        "planted": {str(defect): planted.count(defect) for defect in Defect},
        "expected_skips": expected_skips(planted, sum(account.carousels for account in written)),
        "images": sum(account.images for account in written),
        "carousels": sum(account.carousels for account in written),
        "constant_accounts": constant,
        "silent_accounts": silent,
    }
