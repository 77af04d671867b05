"""The uniform average of the parameters of several exports, as an export of its own (Wortsman et al., 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict

from data_builders.options import differences
from ipa_jax.input import vocabularies
from ipa_jax.training import workdir
from ipa_jax.training.export import load_export, save_export
from ipa_jax.training.export_folder import REMEDY, ExportError
from ipa_jax.training.trained_on import load_trained_on

FREE = (*workdir.FREE, "seed")  # fields in which the members may differ
APART = (
    "these runs drew random weights, each by its own seed, and networks that start apart seldom average well; "
    "evaluate the average beside its members, or continue one run with several seeds (config.init.export)"
)


@dataclass(frozen=True)
class Average:
    """What was written.

    Attributes:
      seeds: of the members.
      data_dir: that the first member was trained on.
      note: what to be careful about; "" if nothing.
    """

    seeds: tuple[int, ...]
    data_dir: str
    note: str


def average_exports(exports: Sequence[Path], out: Path) -> Average:
    """Writes an export whose every leaf is the mean of the members' leaves, computed in float64.

    BatchNorm's statistics are averaged like all else. The factor on z is not known, so that `evaluate` fits it on
    validation. The list of train photos is the first member's: all have the same train split.

    Args:
      exports: export/ folders of two or more finished runs of one config, each with a seed of its own.
      out: the new folder.
    Raises:
      ExportError: an export is missing or damaged; `out` is not empty; two members are the same, or differ in
        another field than the seed, in their data or in their vocabularies. The message names folder and field.
      DiskError: the disk is full or may not be written into.
    """
    if out.is_dir() and any(out.iterdir()):
        raise ExportError(f"{out} is not empty: name another folder for --out, or delete what is there")
    if len({export.resolve() for export in exports}) < len(exports):
        raise ExportError(f"an export is given twice: {', '.join(map(str, exports))}; name each run once")
    first, *others = exports
    variables, config, data = load_export(first)
    tables = vocabularies.load(first, config, ExportError, REMEDY)
    total = {name: leaf.astype(np.float64) for name, leaf in _flat(variables).items()}
    seeds = [config.seed]
    for export in others:
        member, its_config, its_data = load_export(export)
        _require_alike((first, config, data), (export, its_config, its_data))
        if vocabularies.load(export, its_config, ExportError, REMEDY) != tables:
            raise ExportError(f"{export} has another vocabulary than {first}: average runs on the same data")
        leaves = _flat(member)
        if {name: leaf.shape for name, leaf in leaves.items()} != {name: leaf.shape for name, leaf in total.items()}:
            raise ExportError(f"{export} has other parameters than {first}; {REMEDY}")
        for name, leaf in leaves.items():
            total[name] += leaf
        seeds.append(its_config.seed)
    like = _flat(variables)
    mean = {name: (leaf / len(exports)).astype(like[name].dtype) for name, leaf in total.items()}
    made = {"batch_stats": {}} | traverse_util.unflatten_dict(mean, sep="/")
    save_export(out, made, config, data, card(exports, seeds, config), tables, load_trained_on(first))
    return Average(tuple(seeds), config.data_dir, "" if config.init.export else APART)


def card(exports: Sequence[Path], seeds: Sequence[int], config: ConfigDict) -> str:
    """README.md of the average."""
    members = [f"| {export} | {seed} |" for export, seed in zip(exports, seeds, strict=True)]
    return "\n".join([
        "# Neural image popularity model: the average of several runs",
        "",
        f"Each parameter is the mean over {len(exports)} runs of one config (network {config.model.network}, loss "
        f"{config.loss.name}). It was not evaluated when it was made: `ipa-jax evaluate --export=. --split=test` does "
        "that. config.json is that of the first run.",
        "",
        "| member | seed |",
        "|---|---|",
        *members,
        "",
        "The members' model cards say what they were trained on, and under which terms.",
        "",
    ])  # fmt: skip


def _flat(variables: dict) -> dict[str, Any]:
    return traverse_util.flatten_dict(variables, sep="/")


def _require_alike(one: tuple[Path, ConfigDict, Any], other: tuple[Path, ConfigDict, Any]) -> None:
    """Raises ExportError where two members are not two runs of one config on the same data."""
    (first, config, data), (export, its_config, its_data) = one, other
    fields = differences(config.to_dict(), its_config.to_dict(), "config")
    changed = [
        f"{name} is {old!r} and {new!r}" for name, old, new in fields if name.removeprefix("config.") not in FREE
    ]
    if changed:
        raise ExportError(f"{first} and {export} are not runs of one config: {'; '.join(changed)}")
    if data != its_data:
        names = ", ".join(name for name, _, _ in differences(data, its_data, "data.json"))
        raise ExportError(f"{first} and {export} were trained on other data: {names} differ")
