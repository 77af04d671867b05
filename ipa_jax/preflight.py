"""What would stop a run after hours stops it here, before anything is compiled: file, field, remedy."""

from pathlib import Path

from ml_collections import ConfigDict

from data_builders.choices import require_equal
from data_builders.dataset import GroupDataset


class PreflightError(ValueError):
    """The config cannot be run; the message names file or field, and the remedy."""


def check(config: ConfigDict, devices: int) -> None:
    """Raises PreflightError for whatever of data set, weights and batch does not fit (devices: all of the run)."""
    check_data(config)
    check_weights(config)
    check_batch(config, devices)


def check_data(config: ConfigDict) -> None:
    if not config.data_dir:
        raise PreflightError(
            "config.data_dir is not set: --config.data_dir=DIR names what `python -m data_builders.build` wrote"
        )
    if not Path(config.data_dir).is_dir():
        raise PreflightError(f"config.data_dir: {config.data_dir} is no folder; build it by data_builders.build")
    try:
        dataset = GroupDataset(config.data_dir, "train")
        stored = dataset.choices
    except FileNotFoundError as error:
        raise PreflightError(f"config.data_dir: {error}") from error
    try:
        require_equal(stored, config.data.to_dict(), config.data_dir, "Set the field, or build again")
    except ValueError as error:
        raise PreflightError(str(error)) from error
    if stored["memory"]["exclude"] == "none" and not config.allow_leak:
        raise PreflightError(
            f"{config.data_dir} was built with config.data.memory.exclude = 'none': a train query's own likes reach "
            "its features. To measure that leak set --config.allow_leak=True; else build again with 'group'"
        )
    if dataset.info["random_weights"] and not config.allow_random_features:
        raise PreflightError(
            f"{config.data_dir} was built from a feature store with random extractor weights: its retrieval means "
            "nothing. Extract with real weights, or set --config.allow_random_features=True for a test"
        )


def check_weights(config: ConfigDict) -> None:
    wanted = ["swin"] + (["resnet"] if config.model.depth.enabled else [])
    for name in wanted:
        file = config.init[name]
        if file and not Path(file).is_file():
            raise PreflightError(f"config.init.{name}: {file} is not there; convert the official checkpoint to it")
        if not file and not config.init.random:
            raise PreflightError(
                f"config.init.{name} is not set: name a converted .safetensors file, or allow a random start by "
                "--config.init.random=True"
            )


def check_batch(config: ConfigDict, devices: int) -> None:
    batch = config.batch
    field = "pairs" if batch.by == "pairs" else "packs"
    packs = batch[field]
    if packs % (devices * batch.accumulate):
        raise PreflightError(
            f"config.batch.{field} is {packs}, which {devices} devices x batch.accumulate {batch.accumulate} do not "
            f"divide: set it to a multiple of {devices * batch.accumulate}"
        )
    if config.input.crop > config.input.resize:
        raise PreflightError(f"config.input.crop {config.input.crop} exceeds input.resize {config.input.resize}")
