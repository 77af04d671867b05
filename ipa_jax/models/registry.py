"""The networks and losses that the train loop knows, a row each, by config.model.network and config.loss.name.

Every network is a linen module `(inputs, *, train, keys, axis_name) -> (z float32 [N], out)`. A row says where the code
is, what it reads and which values of its config fields it knows, so that a new peer or loss touches nothing else.
Importing this loads no jax: the processes that read batches need these rows too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ml_collections import ConfigDict

from data_builders.bounds import BLOCKS, RATE, SHARE, SIDE, WIDTH, Range, Sizes
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
      packaged: the row of third_party_ports.checkpoints.zoo whose package brings the file, if config.init names none;
        "": none does.
    """

    field: str
    path: tuple[str, ...]
    keys: str
    fresh: tuple[str, ...] = ()
    packaged: str = ""


@dataclass(frozen=True)
class Network:
    """A row of NETWORKS; the functions take the whole config.

    Attributes:
      build: "package.module:function" of (config, *, dtype) that gives the module.
      bias: path of the parameter that moves all z alike; "": there is none.
      reads: names of the parts of a batch (`ipa_jax.input.fields.PARTS`).
      starts: the checkpoints that the network can start from.
      frozen: prefixes of the parameters that are never trained.
      words: path of the word table that config.init.words may fill; "": there is none.
      gives: what `out` holds for the losses that need more than z.
      allowed: the values of config fields that the network alone reads, by field name.
      bounds: the ranges of such fields that are numbers, by field name.
      divides: pairs of such fields of which the second must divide the first.
      check: "package.module:function" of the config that raises ValueError where its fields do not fit together;
        "": any do.
    """

    build: str
    bias: str
    reads: Callable[[ConfigDict], tuple[str, ...]]
    starts: Callable[[ConfigDict], tuple[Start, ...]] = lambda config: ()
    frozen: Callable[[ConfigDict], tuple[str, ...]] = lambda config: ()
    words: str = ""
    gives: tuple[str, ...] = ()
    allowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bounds: Mapping[str, Range | Sizes] = field(default_factory=dict)
    divides: tuple[tuple[str, str], ...] = ()
    check: str = ""


@dataclass(frozen=True)
class Loss:
    """A row of LOSSES.

    Attributes:
      function: "package.module:function"; its arguments are those of its kind (`ipa_jax.losses`).
      of: what it is a loss of: "pairs" (eq. 7) or single "images".
      reads: parts of a batch that hold its labels, beside likes and image weights.
      needs: an entry of the network's `out`; "": z is enough.
      log_likes: whether z is log likes itself, so that the output's bias starts at their mean.
    """

    function: str
    of: Literal["pairs", "images"] = "pairs"
    reads: tuple[str, ...] = ()
    needs: str = ""
    log_likes: bool = False


SWIN = Start("swin", ("swin",), "third_party_ports.swin:KEYS")
LITE = Start("efficientnet_lite", ("efficientnet_lite",), "third_party_ports.efficientnet_lite:TRUNK_KEYS",
             packaged="efficientnet_lite2")  # fmt: skip
BACKBONES = {"swin": SWIN, "efficientnet_lite": LITE}  # of model.backbone
RESNET = Start("resnet", ("resnet",), "third_party_ports.resnet:KEYS")
DEPTH_RESNET = Start("resnet", ("depth_branch", "resnet"), "third_party_ports.resnet:KEYS")
I2PA_RESNET = Start("resnet", ("i2pa", "resnet"), "third_party_ports.resnet:KEYS")
GRIDS = {"swin": SWIN, "resnet": RESNET}  # of uhan.grid: whose last map the regions are


def _popularity_reads(config: ConfigDict) -> tuple[str, ...]:
    depth = {"train": "depth", "frozen": "depth", "cached": "depth_vectors"}[config.model.depth.resnet]
    return ("photo", *["retrieval"] * config.model.retrieval.enabled, *[depth] * config.model.depth.enabled)


def _popularity_frozen(config: ConfigDict) -> tuple[str, ...]:
    depth, lite = config.model.depth, config.model.efficientnet_lite
    frozen = {
        "depth_branch/resnet/": depth.enabled and depth.resnet != "train",
        "efficientnet_lite/": config.model.backbone == "efficientnet_lite" and lite.training == "frozen",
    }
    return tuple(prefix for prefix, holds in frozen.items() if holds)


NETWORKS = {
    "popularity": Network(
        build="ipa_jax.models.popularity:build",
        bias="head/bias",
        reads=_popularity_reads,
        starts=lambda config: (BACKBONES[config.model.backbone], *[DEPTH_RESNET] * config.model.depth.enabled),
        frozen=_popularity_frozen,
        allowed={
            "model.backbone": tuple(BACKBONES),
            "model.efficientnet_lite.training": ("frozen", "train"),
            "model.retrieval.tokens": ("vector", "per_image"),
            "model.depth.resnet": ("train", "frozen", "cached"),
            "model.depth.views": ("tokens", "channels"),
            "model.fusion": ("aggregation", "concat"),
        },
    ),
    "nima": Network(
        build="ipa_jax.peers.nima:build",
        bias="",
        reads=lambda config: ("photo",),
        starts=lambda config: (Start("peer", ("nima",), "third_party_ports.peers.nima:KEYS"),),
        gives=("votes",),
        allowed={"nima.padding": ("symmetric", "same")},
        bounds={"nima.stem": Range(1, WIDTH), "nima.blocks": Sizes(1, WIDTH, 2, 2, rows=True), "nima.dropout": RATE},
    ),
    "musiq": Network(
        build="ipa_jax.peers.musiq:build",
        bias="musiq/head/bias",
        reads=lambda config: ("patches",),
        starts=lambda config: (Start("peer", ("musiq",), "third_party_ports.peers.musiq:TRUNK_KEYS", fresh=("head",)),),
        bounds={
            "musiq.width": Range(1, WIDTH),
            "musiq.layers": Range(1, 1000),
            "musiq.heads": Range(1, 1024),
            "musiq.hidden": Range(1, WIDTH),
            "musiq.stem": Range(1, WIDTH),
            "musiq.groups": Range(1, WIDTH),
            "musiq.grid": Range(1, 1000),
            "musiq.patch": Range(4, 1024),
            "musiq.longer_sides": Sizes(8, SIDE),
            "musiq.train_tokens": Range(1, 10**6),
            "musiq.score_tokens": Range(1, 10**6),
        },
        divides=(("musiq.width", "musiq.heads"), ("musiq.stem", "musiq.groups")),
    ),
    "i2pa": Network(
        build="ipa_jax.peers.i2pa:build",
        bias="i2pa/fc/bias",
        reads=lambda config: ("photo",),
        starts=lambda config: (
            Start("peer", ("i2pa",), "third_party_ports.peers.i2pa:KEYS")
            if config.i2pa.pixels == "unit"
            else I2PA_RESNET,
        ),
        allowed={"i2pa.pixels": ("unit", "imagenet")},
        bounds={
            "i2pa.stage_sizes": BLOCKS,
            "i2pa.width": Range(1, WIDTH),
            "i2pa.caption_words": Range(0, 10**6),
            "i2pa.caption_tags": Range(0, 10**6),
        },
        check="ipa_jax.input.caption_filter:check",
    ),
    "uhan": Network(
        build="ipa_jax.peers.uhan:build",
        bias="uhan/out/bias",
        reads=lambda config: ("photo", "texts", "account"),
        starts=lambda config: (GRIDS[config.uhan.grid],),
        frozen=lambda config: (f"{config.uhan.grid}/",) if config.uhan.image == "frozen" else (),
        allowed={
            "uhan.gates": ("sigmoid", "hard_sigmoid"),
            "uhan.grid": tuple(GRIDS),
            "uhan.image": ("frozen", "train"),
        },
        bounds={
            "uhan.width": Range(1, WIDTH),
            "uhan.head": Sizes(1, WIDTH),
            "uhan.words": Range(1, 10_000),
            "uhan.unknown": SHARE,
        },
        check="ipa_jax.input.texts:check",
    ),
    "xu": Network(
        build="ipa_jax.peers.xu:build",
        bias="out/bias",
        reads=lambda config: (*["photo"] * ("image" in config.xu.fields), "texts"),
        starts=lambda config: (SWIN,) if "image" in config.xu.fields else (),
        frozen=lambda config: ("swin/",) if config.xu.image == "frozen" else (),
        words="word/embedding",
        allowed={"xu.attention": ("modality", "concat", "mean"), "xu.image": ("frozen", "train")},
        bounds={
            "xu.words": Range(1, 10_000),
            "xu.word_width": Range(1, WIDTH),
            "xu.text_width": Range(1, WIDTH),
            "xu.width": Range(1, WIDTH),
            "xu.attention_width": Range(1, WIDTH),
            "xu.head": Sizes(1, WIDTH, 2, 2),
            "xu.dropout": RATE,
            "xu.field_dropout": SHARE,
        },
        check="ipa_jax.input.texts:check",
    ),
}
LOSSES = {
    "ratio_share": Loss("ipa_jax.losses:ratio_share"),
    "ratio_raw": Loss("ipa_jax.losses:ratio_raw"),
    "ratio_log": Loss("ipa_jax.losses:ratio_log"),
    "log_likes": Loss("ipa_jax.losses:log_likes", log_likes=True),
    "bce": Loss("ipa_jax.losses:bce"),
    "image_log_likes": Loss("ipa_jax.losses:image_log_likes", "images", log_likes=True),
    "image_huber": Loss("ipa_jax.losses:image_huber", "images", log_likes=True),
    "emd_squared": Loss("ipa_jax.losses:emd_squared", "images", ("quantile",), needs="votes"),
    "emd": Loss("ipa_jax.losses:emd", "images", ("quantile",), needs="votes"),
}


def for_config(config: ConfigDict) -> Network:
    """The row of the config's network."""
    return NETWORKS[config.model.network]


def loss_of(config: ConfigDict) -> Loss:
    """The row of the config's loss."""
    return LOSSES[config.loss.name]


def build(config: ConfigDict, *, dtype: str | None = None) -> "nn.Module":
    """The network of a config; dtype overrides its precision (evaluation runs in float32)."""
    return attribute(for_config(config).build)(config, dtype=dtype or config.model.dtype)


def parts(config: ConfigDict, *, train: bool) -> tuple[str, ...]:
    """Names of the parts of a batch that a network reads and, in training, those that its loss does."""
    read = for_config(config).reads(config)
    if not train:
        return read
    loss = loss_of(config)
    return (*read, *["image_weight"] * (loss.of == "images"), *loss.reads)
