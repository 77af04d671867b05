"""What a trained model leaves to its users: `<workdir>/export/`, and how to load it again.

params/            orbax checkpoint of {"params", "batch_stats"}
model.safetensors  the same arrays, named params/... and batch_stats/...
config.json        the whole config of the run
data.json          options and statistics of the data set that it was trained on
README.md          the model card
trained_on.json    salted hashes of the train photos, and the time of the newest
rescale.json       the factor on z, fitted on validation
checksums.json     of all these files; readers check a file before they parse it
vocabulary.json, accounts.json  where the network reads texts or accounts (ipa_jax.input.vocabularies)
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util
from ml_collections import ConfigDict

from configs import full
from ipa_jax.input.vocabularies import Vocabularies
from ipa_jax.training import trained_on
from ipa_jax.training.export_folder import REMEDY, ExportError, open_export
from ipa_jax.training.rescale import Rescale
from ipa_jax.training.trained_on import TrainedOn
from third_party_ports import checksums, disks
from third_party_ports.checkpoints import sealed
from third_party_ports.reading import json_object, reading

__all__ = ["ExportError", "load_config", "load_export", "save_export", "save_resnet"]

NONE = Vocabularies()
ARRAYS, CONFIG, DATA = "model.safetensors", "config.json", "data.json"


def save_export(
    out: Path,
    variables: dict,
    config: ConfigDict,
    data: dict,
    card: str,
    vocabularies: Vocabularies = NONE,
    trained: TrainedOn | None = None,
    rescale: Rescale | None = None,
) -> None:
    """Writes the folder under a temporary name, then renames it. An existing one is replaced.

    Args:
      variables: {"params", "batch_stats"}, numpy leaves.
      data: GroupDataset.info of the train split.
      card: README.md.
      vocabularies: of the networks that read texts or accounts.
      trained: the photos that the model was trained on.
      rescale: the factor on z.

    Raises:
      DiskError: the disk is full or may not be written into; nothing is left there.
    """
    temporary = out.with_name(out.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    with disks.writing(out, lambda: disks.remove_folder(temporary)):
        temporary.mkdir(parents=True)
        with ocp.StandardCheckpointer(multiprocessing_options=_alone()) as checkpointer:
            checkpointer.save((temporary / "params").absolute(), variables)
        flat = traverse_util.flatten_dict(variables, sep="/")
        sealed.save({name: np.ascontiguousarray(leaf) for name, leaf in flat.items()}, temporary / ARRAYS)
        (temporary / CONFIG).write_text(json.dumps(config.to_dict(), indent=2))
        (temporary / DATA).write_text(json.dumps(data, indent=2))
        (temporary / "README.md").write_text(card)
        vocabularies.save(temporary)
        if trained is not None:
            (temporary / trained_on.FILE).write_text(trained.to_json())
        if rescale is not None:
            rescale.save(temporary)
        checksums.write(temporary)
        shutil.rmtree(out, ignore_errors=True)
        temporary.rename(out)


def _alone() -> ocp.options.MultiprocessingOptions:
    """Options under which this process writes without waiting for the others of a distributed run."""
    here = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=here, active_processes={here}, barrier_sync_key_prefix=f"export{here}"
    )


def load_export(path: Path) -> tuple[dict, ConfigDict, dict]:
    """(variables, config, data) of an export; the arrays come from model.safetensors, nothing is unpickled.

    Raises ExportError naming the file that is missing or damaged, and how to make an export.
    """
    for name in (CONFIG, DATA, ARRAYS):
        if not (path / name).is_file():
            raise ExportError(f"{path / name} is missing: --export names the export/ folder of a finished workdir")
    sums = open_export(path)
    config, content = load_config(path / CONFIG), sums.read(DATA)
    with reading(path / DATA, ExportError, REMEDY):
        data = json_object(content)
    sums.check([ARRAYS])
    arrays = sealed.load(path / ARRAYS, ExportError, REMEDY, check=False)
    with reading(path / ARRAYS, ExportError, REMEDY):
        variables = traverse_util.unflatten_dict(arrays, sep="/")
        if not variables.keys() >= {"params"}:
            raise ValueError("it holds no params/...")
    variables.setdefault("batch_stats", {})  # a model without BatchNorm has none
    return variables, config, data


def save_resnet(export: Path, out: Path) -> None:
    """The depth branch's ResNet of an export as a .safetensors file in official names, for config.init.resnet.

    Raises ExportError where there is no export, or it has no depth branch.
    """
    variables, _, _ = load_export(export)
    names = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    tensors = {}
    for kind, *path, leaf in traverse_util.flatten_dict(variables):
        if path[:2] == ["depth_branch", "resnet"]:
            value = variables[kind]
            for part in (*path, leaf):
                value = value[part]
            if leaf == "kernel":  # ours keeps a 1x1 convolution as a matrix
                value = (value if value.ndim == 4 else value[None, None]).transpose(3, 2, 0, 1)
            owner = [re.sub(r"_(\d+)$", r".\1", part) for part in path[2:]]
            tensors[".".join([*owner, names[leaf]])] = np.ascontiguousarray(value)
    if not tensors:
        raise ExportError(f"{export} has no depth branch (model.depth.enabled): name the export of a full model")
    sealed.save(tensors, out)


def load_config(file: Path) -> ConfigDict:
    """The locked config of a run from its JSON, over full.py's fields and types.

    Raises ExportError for a damaged file, and for a field that full.py does not know.
    """
    content = open_export(file.parent).read(file.name)
    with reading(file, ExportError, REMEDY):
        stored = json_object(content)
    try:
        config = full.get_config(stored["size"])
        with config.unlocked():  # each network has parameter groups of its own
            config.optim.groups = ConfigDict(stored["optim"]["groups"])
        _update(config, stored)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{file}: written by another version of the project ({error})") from error
    return config


def _update(config: ConfigDict, stored: dict) -> None:
    for name, value in stored.items():
        if isinstance(value, dict):
            _update(config[name], value)
        elif value is not None:
            config[name] = _tuples(value)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value
