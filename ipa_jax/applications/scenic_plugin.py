"""The model as a plug-in for Google's Scenic: a BaseModel for its pmapped trainers. docs/scenic.md shows how.

    from ipa_jax.applications import scenic_plugin
    model_cls = scenic_plugin.model_class()      # for scenic's train(model_cls=...)

Scenic is not a dependency. It is imported by `model_class` alone. The package that PyPI calls "scenic" is another
project.
"""

import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from configs import full
from ipa_jax.input.field import LABELS
from ipa_jax.models import registry
from ipa_jax.training.initial import example_inputs, with_resnet
from ipa_jax.training.step_metrics import TrainMetrics
from ipa_jax.training.steps import loss_outputs

AXIS = "batch"  # of Scenic's pmapped steps
SECTION = "ipa"  # the field of a Scenic config that holds ours; a config without it is ours itself
INSTALL = "pip install git+https://github.com/google-research/scenic"


class ScenicError(ImportError):
    """Scenic is missing, or another package has its name. The message says which, and how to install it."""


def base_model() -> type:
    """Scenic's own BaseModel. Raises ScenicError."""
    try:
        from scenic.model_lib.base_models.base_model import BaseModel  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        if importlib.util.find_spec("scenic") is None:
            raise ScenicError(f"Scenic is not installed: {INSTALL} (not `pip install scenic`)") from error
        if not (error.name or "").startswith("scenic"):
            raise ScenicError(f"Scenic is there, but {error.name} is not: pip install {error.name}") from error
        raise ScenicError(
            f"the installed package {_installed()} is another project, not Google's Scenic: pip uninstall scenic, "
            f"then {INSTALL}"
        ) from error
    return BaseModel


def _installed() -> str:
    """The name and version of what is installed as "scenic"."""
    try:
        return f"scenic {importlib.metadata.version('scenic')}"
    except importlib.metadata.PackageNotFoundError:
        return "scenic"


class ScenicNetwork(nn.Module):
    """A network of this project, called as Scenic calls one. The parameters have the names of an export's.

    Attributes:
      network: what `registry.build` returns.
      axis_name: of the pmapped step, over which BatchNorm averages; None outside of one.
    """

    network: nn.Module
    axis_name: str | None = AXIS

    def setup(self) -> None:
        nn.share_scope(self, self.network)

    def __call__(self, inputs: Mapping[str, jax.Array], *, train: bool = False, debug: bool = False) -> jax.Array:
        """z float32 [images]: log scores. `inputs` are what the network reads, [images, ...] each.

        In training, stochastic depth draws from the rng "dropout" for each slot.
        """
        del debug
        if not train:
            return self.network(inputs, train=False)[0]
        keys = jax.vmap(jax.random.fold_in, (None, 0))(self.make_rng("dropout"), inputs["slot"])
        return self.network(inputs, train=True, keys=keys, axis_name=self.axis_name)[0]


def our_config(config: ConfigDict) -> ConfigDict:
    """Our part of a Scenic config: its field `ipa`, or all of it.

    Raises:
      ValueError: there is none, or the loss is one of single images, which reads more than scores.
    """
    ours = config.get(SECTION, config)
    if "model" not in ours or "network" not in ours.model:
        raise ValueError(f"the config has no field {SECTION}: set config.{SECTION} = configs.full.get_config()")
    if registry.loss_of(ours).of != "pairs":
        losses = ", ".join(name for name, row in registry.LOSSES.items() if row.of == "pairs")
        raise ValueError(f"config.{SECTION}.loss.name is {ours.loss.name!r}: with Scenic, take one of pairs: {losses}")
    return with_resnet(ours)


def model_class(axis_name: str | None = AXIS) -> type:
    """The class to give to Scenic's trainers as model_cls.

    Args:
      axis_name: of the trainer's pmapped steps; None for trainers that jit over global arrays.
    Raises:
      ScenicError: Scenic is not installed.
    """

    class PopularityScenicModel(base_model()):
        """Neural image popularity assessment (Ji et al., 2023) as a Scenic model."""

        def build_flax_model(self) -> nn.Module:
            return ScenicNetwork(registry.build(our_config(self.config)), axis_name)

        def default_flax_model_config(self) -> ConfigDict:
            return full.get_config("full")

        def loss_function(self, logits: jax.Array, batch: Mapping[str, Any], model_params: Any = None) -> jax.Array:
            del model_params  # weight decay belongs to the optimizer
            scale = self.dataset_meta_data.get("loss_scale")
            return loss(logits, batch, our_config(self.config).loss.name, scale, axis_name)

        def get_metrics_fn(self, split: str | None = None) -> Callable:
            del split  # the same for each
            return self._metrics(axis_name)

        def get_metrics_fn_jit(self, split: str | None = None) -> Callable:
            del split
            return self._metrics(None)

        def _metrics(self, axis: str | None) -> Callable:
            name = our_config(self.config).loss.name
            return lambda logits, batch: metrics(logits, batch, name, axis)

    return PopularityScenicModel


def loss(
    z: jax.Array, batch: Mapping[str, Any], name: str, scale: float | None = None, axis_name: str | None = None
) -> jax.Array:
    """The loss of a device's share of a batch, so that the mean of its gradients over devices is the step's gradient.

    Args:
      z: float32 [images].
      batch: "log_likes" [packs, slots] and "pair_weight" [packs, slots, slots], as `batch_for_scenic` gives them.
      name: a row of registry.LOSSES, a loss of pairs.
      scale: what the weighted sum over all devices is divided by; None for the weight of this step's pairs.
      axis_name: of the pmapped step.
    Returns:
      float32 [].
    """
    outputs = loss_outputs(z.reshape(batch["log_likes"].shape), {}, batch, name)
    total, weight = jnp.sum(outputs["pair_weight"] * outputs["pair_loss"]), jnp.sum(outputs["pair_weight"])
    devices = 1
    if axis_name is not None:
        weight, devices = jax.lax.psum(weight, axis_name), jax.lax.psum(1, axis_name)
    return devices * total / (jnp.maximum(weight, 1e-9) if scale is None else scale)


def metrics(
    z: jax.Array, batch: Mapping[str, Any], name: str, axis_name: str | None = None
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """{"loss", "accuracy"}: (weighted sum, weight) over the valid pairs, summed over devices, as Scenic's trainers add
    them up. Arguments as those of `loss`."""
    outputs = loss_outputs(z.reshape(batch["log_likes"].shape), {}, batch, name)
    measured = TrainMetrics.single_from_model_output(**outputs)
    if axis_name is not None:
        measured = jax.lax.psum(measured, axis_name)
    return {
        metric: (getattr(measured, metric).total, getattr(measured, metric).weight) for metric in ("loss", "accuracy")
    }


def batch_for_scenic(batch: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """A batch of ipa_jax.input.batches.train_batches, [devices, packs, slots, ...] by name, as Scenic's trainers take
    it: "inputs" [devices, images, ...] by name, and the labels as they are."""
    inputs = {
        name: value.reshape(len(value), -1, *value.shape[3:]) for name, value in batch.items() if name not in LABELS
    }
    return {"inputs": inputs} | {name: value for name, value in batch.items() if name in LABELS}


def input_spec(config: ConfigDict) -> list[dict[str, tuple[tuple[int, ...], Any]]]:
    """What one image gives the network, (shape, dtype) by name, for Scenic's initialize_model_with_pytree."""
    return [{name: (value.shape, value.dtype) for name, value in example_inputs(our_config(config)).items()}]
