"""Builds the data set top3000 in a folder of its own, and puts it in place when it is complete."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from rich.console import Console
from rich.markup import escape

from data_builders.dataset import NAME, read_metadata, version_folder
from data_builders.options import check, require_equal
from data_builders.top3000 import build_report
from data_builders.top3000.steps import PAPER, Steps
from data_builders.top3000.top3000_dataset_builder import Builder
from third_party_ports import disks
from third_party_ports.files import lock


def build(
    options: Mapping[str, Any],
    raw: Path,
    features: Path,
    data_dir: Path,
    *,
    overwrite: bool = False,
    beam_pipeline_options: Sequence[str] | None = None,
    steps: Steps = PAPER,
) -> Path:
    """Builds a data set and prints its report. A complete one with the same options and sources is kept.

    Args:
      options: `config.data` as a nested dict.
      raw: raw posts, a folder or a .csv file.
      features: the feature store of their images.
      data_dir: where to put the data set, as DATA_DIR/top3000/VERSION.
      overwrite: replace a data set that exists, also one of another version. It stays until the new one is complete.
      beam_pipeline_options: build through Apache Beam with these options, as "runner=FnApiRunner".
      steps: the functions that the build calls.

    Returns:
      The folder of the data set's version.

    Raises:
      ValueError: an option is out of range; or a data set of other options or sources exists and `overwrite` is off.
        The message names the fields.
      FileNotFoundError, RawDataError: as prepare.prepare.
      BlockingIOError: another process builds into `data_dir`.
      DiskError: the disk is full or may not be written into.
    """
    check(options)
    console = Console()
    if kept := _existing(options, raw, features, data_dir, overwrite, console):
        return kept
    tfds.disable_progress_bar()  # the builder has its own, which knows the number of groups
    staging = data_dir / ".top3000.building"
    with disks.writing(staging):
        staging.mkdir(parents=True, exist_ok=True)
    with lock(staging):
        shutil.rmtree(staging / NAME, ignore_errors=True)  # of a build that was killed
        try:
            if kept := _existing(options, raw, features, data_dir, overwrite, console):
                return kept  # by a build that has just ended
            beam = bool(beam_pipeline_options)
            builder = Builder(options=options, raw=raw, features=features, data_dir=staging, beam=beam, steps=steps)
            with disks.writing(data_dir):
                builder.download_and_prepare(download_config=_download_config(beam_pipeline_options))
                built = Path(builder.data_path)
                folder = data_dir / built.relative_to(staging)
                _put_in_place(built, folder, data_dir, console)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    assert builder.report is not None  # download_and_prepare makes it
    build_report.show(builder.report, console)
    console.print(f"wrote {escape(str(folder))}")
    return folder


def _put_in_place(built: Path, folder: Path, data_dir: Path, console: Console) -> None:
    """Renames a new data set, and removes the one that it replaces, also one of another version of ipa_jax."""
    replaced = version_folder(data_dir, missing_ok=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    built.rename(folder)
    if replaced and replaced != folder:  # nothing would read it, or nothing the new one
        shutil.rmtree(replaced, ignore_errors=True)
        console.print(f"removed {escape(str(replaced))}, which another version of ipa_jax had built")


def _existing(
    options: Mapping[str, Any], raw: Path, features: Path, data_dir: Path, overwrite: bool, console: Console
) -> Path | None:
    """The complete data set that is kept, if there is one. Raises ValueError where it is another one."""
    existing = version_folder(data_dir, missing_ok=True)
    if overwrite and existing == data_dir:  # the new one would lie within it, and would not be found
        raise ValueError(f"--data_dir={data_dir} is the folder of a version: name {data_dir.absolute().parents[1]}")
    if existing is None or overwrite:
        return None
    _require_same(existing, options, raw, features)
    console.print(f"{existing} exists with these options: kept (--overwrite builds it again)")
    return existing


def _require_same(folder: Path, options: Mapping[str, Any], raw: Path, features: Path) -> None:
    """Raises ValueError where a data set was built with other options, or from other folders."""
    metadata = read_metadata(folder)
    require_equal(metadata["choices"], options, str(folder), "Build with --overwrite, or into another --data_dir.")
    for flag, here in (("raw", raw), ("features", features)):
        stored = metadata["source"][flag]
        if stored != str(here.resolve()):
            raise ValueError(
                f"{folder} was built from --{flag}={stored}. Build with --overwrite, or into another --data_dir."
            )


def _download_config(beam_pipeline_options: Sequence[str] | None) -> tfds.download.DownloadConfig:
    if not beam_pipeline_options:
        return tfds.download.DownloadConfig()
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ModuleNotFoundError as error:
        raise ValueError(f"--beam_pipeline_options: {error}. Install the extra: pip install 'ipa-jax[beam]'") from error
    flags = PipelineOptions([f"--{option}" for option in beam_pipeline_options])
    return tfds.download.DownloadConfig(beam_options=flags)
