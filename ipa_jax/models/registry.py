"""The networks that the train loop knows, by config.model.network, and what each one reads and starts from.

Every one is a linen module `(inputs, *, train, keys, axis_name) -> (z float32 [N], out)`. Importing this loads no jax:
processes that read batches ask it too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from third_party_ports.checkpoints.checkpoint import attribute

if TYPE_CHECKING:
    import flax.linen as nn


@dataclass(frozen=True)
class Start:
    """A converted checkpoint that a network starts from.

    Attributes:
      field: of config.init, which names the file.
      path: of the network that it fills, within the variables.
      keys: "package.module:KEYS".
      fresh: modules of that network, by their first name, which the file does not give: they start at random.
    """

    field: str
    path: tuple[str, ...]
    keys: str
    fresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class Network:
    """A row of NETWORKS; the functions take the whole config.

    Attributes:
      build: "package.module:function" of (config, *, dtype) that gives the module.
      bias: path of the parameter that moves all z alike; "": there is none.
      reads: names of the parts of a batch (`inputs.PARTS`).
      starts: the checkpoints of a start that is not random.
      frozen: prefixes of the parameters that are never trained.
      words: path of the word table that config.init.words may fill; "": there is none.
    """

    build: str
    bias: str
    reads: Callable[[ConfigDict], tuple[str, ...]]
    starts: Callable[[ConfigDict], tuple[Start, ...]]
    frozen: Callable[[ConfigDict], tuple[str, ...]] = lambda config: ()
    words: str = ""


SWIN = Start("swin", ("swin",), "third_party_ports.swin:KEYS")
RESNET = Start("resnet", ("resnet",), "third_party_ports.resnet:KEYS")
DEPTH_RESNET = Start("resnet", ("depth_branch", "resnet"), "third_party_ports.resnet:KEYS")
I2PA_RESNET = Start("resnet", ("i2pa", "resnet"), "third_party_ports.resnet:KEYS")
GRIDS = {"swin": SWIN, "resnet": RESNET}  # of uhan.grid: whose last map the regions are


def _popularity_reads(config: ConfigDict) -> tuple[str, ...]:
    depth = {"train": "depth", "frozen": "depth", "cached": "depth_vectors"}[config.model.depth.resnet]
    return ("photo", *["retrieval"] * config.model.retrieval.enabled, *[depth] * config.model.depth.enabled)


NETWORKS = {
    "popularity": Network(
        "ipa_jax.models.popularity:build",
        "head/bias",
        _popularity_reads,
        lambda config: (SWIN, *[DEPTH_RESNET] * config.model.depth.enabled),
        lambda config: (
            ("depth_branch/resnet/",) if config.model.depth.enabled and config.model.depth.resnet != "train" else ()
        ),
    ),
    "nima": Network(
        "ipa_jax.peers.nima:build",
        "",
        lambda config: ("photo",),
        lambda config: (Start("peer", ("nima",), "third_party_ports.peers.nima:KEYS"),),
    ),
    "musiq": Network(
        "ipa_jax.peers.musiq:build",
        "musiq/head/bias",
        lambda config: ("patches",),
        lambda config: (Start("peer", ("musiq",), "third_party_ports.peers.musiq:TRUNK_KEYS", fresh=("head",)),),
    ),
    "i2pa": Network(
        "ipa_jax.peers.i2pa:build",
        "i2pa/fc/bias",
        lambda config: ("photo",),
        lambda config: (
            Start("peer", ("i2pa",), "third_party_ports.peers.i2pa:KEYS")
            if config.i2pa.pixels == "unit"
            else I2PA_RESNET,
        ),
    ),
    "uhan": Network(
        "ipa_jax.peers.uhan:build",
        "uhan/out/bias",
        lambda config: ("photo", "texts", "account"),
        lambda config: (GRIDS[config.uhan.grid],),
        lambda config: (f"{config.uhan.grid}/",) if config.uhan.image == "frozen" else (),
    ),
    "xu": Network(
        "ipa_jax.peers.xu:build",
        "out/bias",
        lambda config: (*["photo"] * ("image" in config.xu.fields), "texts"),
        lambda config: (SWIN,) if "image" in config.xu.fields else (),
        lambda config: ("swin/",) if config.xu.image == "frozen" else (),
        words="word/embedding",
    ),
}
IMAGE_LOSSES = {  # loss.name of the losses of single images: the parts of a batch that they read
    "image_log_likes": ("image_weight",),
    "image_huber": ("image_weight",),
    "emd": ("image_weight", "quantile"),
    "emd_squared": ("image_weight", "quantile"),
}
OF_LIKES = ("log_likes", "image_log_likes", "image_huber")  # the losses whose z is log likes itself


def for_config(config: ConfigDict) -> Network:
    return NETWORKS[config.model.network]


def build(config: ConfigDict, *, dtype: str | None = None) -> "nn.Module":
    """The network of a config; dtype overrides its precision (evaluation runs in float32)."""
    return attribute(for_config(config).build)(config, dtype=dtype or config.model.dtype)


def parts(config: ConfigDict, *, train: bool) -> tuple[str, ...]:
    """Names of the parts of a batch that a network reads and, in training, those that its loss does."""
    return for_config(config).reads(config) + (IMAGE_LOSSES.get(config.loss.name, ()) if train else ())
