"""What would stop a run after hours stops it here, before anything is compiled: file, field, remedy."""

from collections.abc import Iterable
from pathlib import Path

from absl import logging
from ml_collections import ConfigDict

from data_builders import bounds, photos
from data_builders.dataset import DatasetError, GroupDataset
from data_builders.options import check_fields, require_equal
from ipa_jax.models import registry
from ipa_jax.training.bounds import BOUNDS
from ipa_jax.training.export import ExportError, load_export
from ipa_jax.training.initial import start_file
from ipa_jax.training.metric_writers import import_clu_writers
from third_party_ports.checkpoints.checkpoint import attribute
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.swin import grids


class PreflightError(ValueError):
    """The config cannot be run; the message names file or field, and the remedy."""


# Of the fields that every network reads; what one network alone reads stands in its row of the registry.
ALLOWED = {
    "model.dtype": ("bfloat16", "float16", "float32"),
    "model.depth.stem": ("imagenet", "small"),
    "batch.by": ("pairs", "groups"),
    "train.writers": ("own", "clu"),
    "train.remat": ("never", "cpu", "always"),
    "eval.dtype": ("float32", "bfloat16"),
}

BFLOAT16_FROM = 8.0  # compute capability of NVIDIA's Ampere
FEW_PAIRS = 811  # the largest number measured at which training a light model did not beat the probe; docs/ranking.md


def check(config: ConfigDict, devices: int) -> None:
    """Raises PreflightError for whatever of data set, weights and batch does not fit (devices: all of the run)."""
    check_model(config)
    check_data(config)
    check_weights(config)
    check_words(config)
    check_batch(config, devices)


def check_model(config: ConfigDict) -> None:
    """Values that no part of the project knows, and branches that read what the data set does not hold."""
    allowed = ALLOWED | {"model.network": tuple(registry.NETWORKS), "loss.name": tuple(registry.LOSSES)}
    try:
        check_fields(config, allowed, "config")
        network = registry.for_config(config)
        check_fields(config, network.allowed, "config")
        bounds.check(config, BOUNDS | dict(network.bounds), "config")
        _check_sizes(config, network)
        if network.check:
            attribute(network.check)(config)
    except ValueError as error:
        raise PreflightError(str(error)) from error
    _check_network(config, network)
    if config.model.depth.enabled and not config.data.depth.side:
        raise PreflightError(
            "config.model.depth.enabled needs depth maps, but config.data.depth.side is 0: build with depth maps, or "
            "set --config.model.depth.enabled=False"
        )
    if config.train.writers == "clu":
        import_clu_writers()


def _check_sizes(config: ConfigDict, network: registry.Network) -> None:
    """Numbers that only fit together: heads share a width evenly, crops lie within images, patterns can be read."""
    for name, group in config.optim.groups.items():
        bounds.check_pattern(group.pattern, f"config.optim.groups.{name}.pattern")
    swin = config.model.swin
    if len(swin.depths) != len(swin.heads):
        raise ValueError(
            f"config.model.swin.heads is {swin.heads}: give one number for each of config.model.swin.depths "
            f"{swin.depths}"
        )
    widths = [(f"config.model.swin.heads[{i}]", heads, swin.width * 2**i) for i, heads in enumerate(swin.heads)]
    for name, by in (("model.width", "model.heads"), *network.divides):
        (_, whole), (_, part) = *bounds.fields(config, name), *bounds.fields(config, by)
        widths.append((f"config.{by}", part, whole))
    for field, part, whole in widths:
        if whole % part:
            raise ValueError(f"{field} is {part}, which does not divide a width of {whole}: set it to a divisor of it")
    if config.input.crop > config.input.resize:
        raise ValueError(
            f"config.input.crop {config.input.crop} exceeds input.resize {config.input.resize}: set it to that or less"
        )
    if registry.SWIN in network.starts(config):
        side = config.input.crop
        try:
            grids((side, side), swin.patch, swin.window, swin.depths, swin.heads, swin.width)
        except ValueError as error:
            raise ValueError(f"config.input.crop {side} does not fit config.model.swin: {error}") from error


def _check_network(config: ConfigDict, network: registry.Network) -> None:
    """A peer has no branches of ours; a loss asks for what only some networks give."""
    name, needs = config.model.network, registry.loss_of(config).needs
    if name != "popularity" and (config.model.retrieval.enabled or config.model.depth.enabled):
        raise PreflightError(
            f"config.model.network is {name!r}, which has neither retrieval nor depth: set "
            "--config.model.retrieval.enabled=False --config.model.depth.enabled=False, as the peers' configs do"
        )
    if needs and needs not in network.gives:
        giving = ", ".join(name for name, row in registry.NETWORKS.items() if needs in row.gives)
        raise PreflightError(
            f"config.loss.name {config.loss.name!r} needs {needs}, which {name!r} does not give: set "
            f"--config.model.network to {giving}, or take another loss"
        )


def check_data(config: ConfigDict) -> None:
    if not config.data_dir:
        raise PreflightError(
            "config.data_dir is not set: --config.data_dir=DIR names what `python -m ipa_jax build` wrote"
        )
    if not Path(config.data_dir).is_dir():
        raise PreflightError(f"config.data_dir: {config.data_dir} is no folder; build it by data_builders.build")
    try:
        dataset = GroupDataset(config.data_dir, "train")
        stored = dataset.options
    except (FileNotFoundError, DatasetError) as error:
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
    pairs = dataset.info.get("statistics", {}).get("train", {}).get("pairs")
    if config.model.backbone == "efficientnet_lite" and pairs is not None and pairs <= FEW_PAIRS:
        logging.warning(
            "%s has %d train pairs: on drawn worlds with up to %d, training was no better than the probe, which needs "
            "none (79 and 80 %% of 116 test pairs in order; docs/ranking.md). Try ipa-jax rank --scorer=probe first",
            config.data_dir, pairs, FEW_PAIRS,
        )  # fmt: skip
    decoded_with = [*dataset.info.get("features", {}).get("decoded_with", [])]
    if "decoded_with" in dataset.info:  # data sets of earlier versions do not say
        decoded_with.append(dataset.info["decoded_with"])
    if decoded_with and (versions := photos.mixture([*decoded_with, photos.versions()])):
        logging.warning(
            "%s: photos were decoded by different versions, which may differ in pixels: %s", config.data_dir, versions
        )


def check_weights(config: ConfigDict) -> None:
    if config.init.export:
        _check_export(config)
        return
    frozen = registry.for_config(config).frozen(config)
    for start in registry.for_config(config).starts(config):
        name = start.field
        try:
            file = start_file(config, start)
        except (WeightsError, OSError) as error:
            raise PreflightError(f"config.init.{name} is not set, and {error}") from error
        if file and not file.is_file():
            raise PreflightError(f"config.init.{name}: {file} is not there; convert the official checkpoint to it")
        if not file and not config.init.random:
            raise PreflightError(
                f"config.init.{name} is not set: name a converted .safetensors file, or allow a random start by "
                "--config.init.random=True"
            )
        if not file and f"{'/'.join(start.path)}/" in frozen:
            logging.warning("config.init.%s is not set, and its network is frozen: it stays random", name)


def _check_export(config: ConfigDict) -> None:
    """An export to start from exists, and its network is this one; `initial` compares the parameters."""
    export, name = Path(config.init.export), config.model.network
    try:
        _, stored, _ = load_export(export)
    except ExportError as error:
        raise PreflightError(f"config.init.export: {error}") from error
    if stored.model.network != name:
        raise PreflightError(
            f"config.init.export: {export} holds the network {stored.model.network!r}, but config.model.network is "
            f"{name!r}: name an export of that network"
        )
    if {"texts", "account"} & set(registry.for_config(config).reads(config)):
        raise PreflightError(
            f"config.init.export: {name!r} has tables of the words or accounts of its own data set, which mean nothing "
            "in another one: leave it unset"
        )


def check_words(config: ConfigDict) -> None:
    if (file := config.init.words) and not registry.for_config(config).words:
        having = ", ".join(name for name, network in registry.NETWORKS.items() if network.words)
        raise PreflightError(
            f"config.init.words: model.network {config.model.network!r} has no word table for it, which {having} has: "
            "leave it unset"
        )
    if file and not Path(file).is_file():
        raise PreflightError(
            f"config.init.words: {file} is not there; name a text file of `word number number ...` lines, as GloVe and "
            "fastText publish"
        )


def warn_of_bfloat16(config: ConfigDict, capabilities: Iterable[str]) -> None:
    """Says it where GPUs have no bfloat16 units; capabilities: of the GPUs, as "7.5"."""
    old = sorted({value for value in capabilities if float(value) < BFLOAT16_FROM})
    if old and config.model.dtype == "bfloat16":
        logging.warning(
            "config.model.dtype is 'bfloat16', which a GPU of compute capability %s has no units for: it computes in "
            "float32 and converts. Set --config.model.dtype=float16, or float32 (docs/gpu.md)",
            ", ".join(old),
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
