"""What a trained model leaves to its users: `<workdir>/export/`, and how to load it again.

params/            orbax checkpoint of {"params", "batch_stats"}
model.safetensors  the same arrays, named params/... and batch_stats/...
config.json        the whole config of the run
data.json          choices and statistics of the data set it was trained on
README.md          the model card
vocabulary.json, accounts.json  where the network reads texts or accounts (lookups.py)
"""

import json
import re
import shutil
from pathlib import Path

import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict

from ipa_jax.input.vocabularies import Vocabularies

NONE = Vocabularies()


class ExportError(ValueError):
    """An export folder that is not there, incomplete or of another version."""


def save_export(
    out: Path, variables: dict, config: ConfigDict, data: dict, card: str, vocabularies: Vocabularies = NONE
) -> None:
    """Writes the folder under a temporary name, then renames it; one that exists is replaced.

    Args:
      variables: {"params", "batch_stats"}, numpy leaves.
      data: GroupDataset.info of the train split.
      card: README.md.
      lookups: of the networks that read texts or accounts.
    """
    import orbax.checkpoint as ocp
    from safetensors.numpy import save_file

    temporary = out.with_name(out.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    with ocp.StandardCheckpointer(multiprocessing_options=_alone()) as checkpointer:
        checkpointer.save((temporary / "params").absolute(), variables)
    flat = traverse_util.flatten_dict(variables, sep="/")
    save_file({name: np.ascontiguousarray(leaf) for name, leaf in flat.items()}, temporary / "model.safetensors")
    (temporary / "config.json").write_text(json.dumps(config.to_dict(), indent=2))
    (temporary / "data.json").write_text(json.dumps(data, indent=2))
    (temporary / "README.md").write_text(card)
    vocabularies.save(temporary)
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)


def _alone():
    """Options under which this process writes without waiting for the others of a distributed run."""
    import jax
    import orbax.checkpoint as ocp

    here = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=here, active_processes={here}, barrier_sync_key_prefix=f"export{here}"
    )


def load_export(path: Path) -> tuple[dict, ConfigDict, dict]:
    """(variables, config, data) of an export; the arrays come from model.safetensors, nothing is unpickled.

    Raises ExportError naming the file that is missing and how to make an export.
    """
    from safetensors.numpy import load_file

    for name in ("config.json", "data.json", "model.safetensors"):
        if not (path / name).is_file():
            raise ExportError(f"{path / name} is missing: --export names the export/ folder of a finished workdir")
    variables = traverse_util.unflatten_dict(load_file(path / "model.safetensors"), sep="/")
    variables.setdefault("batch_stats", {})  # a model without BatchNorm has none
    return variables, load_config(path / "config.json"), json.loads((path / "data.json").read_text())


def save_resnet(export: Path, out: Path) -> None:
    """The depth branch's ResNet of an export as a .safetensors file in official names, for config.init.resnet.

    Raises ExportError where there is no export, or it has no depth branch.
    """
    from safetensors.numpy import save_file

    variables, _, _ = load_export(export)
    names = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    tensors = {}
    for kind, *path, leaf in traverse_util.flatten_dict(variables):
        if path[:2] == ["depth_branch", "resnet"]:
            value = variables[kind]
            for part in (*path, leaf):
                value = value[part]
            if leaf == "kernel":  # a 1x1 convolution is a matrix with us
                value = (value if value.ndim == 4 else value[None, None]).transpose(3, 2, 0, 1)
            owner = [re.sub(r"_(\d+)$", r".\1", part) for part in path[2:]]
            tensors[".".join([*owner, names[leaf]])] = np.ascontiguousarray(value)
    if not tensors:
        raise ExportError(f"{export} has no depth branch (model.depth.enabled): name the export of a full model")
    temporary = out.with_name(f".{out.name}.tmp")
    save_file(tensors, temporary)
    temporary.rename(out)


def load_config(file: Path) -> ConfigDict:
    """The locked config of a run from its JSON, over full.py's fields and types.

    Raises ExportError for a field that full.py does not know.
    """
    from configs import full

    stored = json.loads(file.read_text())
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


def _tuples(value):
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value
