"""The networks that benchmarks.ports measures: each port at extraction's sizes, and the same network in PyTorch.

The counterparts are modules of torchvision and timm. Parts that the port lacks (a classifier, an upsampling) are cut
off, and Caffe's strides are set, so that both compute the same numbers, which is checked. Importing this loads neither
jax nor torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from configs.full import get_config
from third_party_ports.checkpoints import zoo
from third_party_ports.checkpoints.weights import KeyMap

EXTRACT = get_config().extract
CANVAS = 640  # px per side: extraction puts a square photo of 600 px on a canvas of a multiple of 128 px


class Port(NamedTuple):
    """Our network.

    Attributes:
      function: (variables, inputs [N, ...]) -> a tree of arrays.
      shapes: of the variables.
      keys: of the variables; None if there is no counterpart.
    """

    function: Callable[[Any, Any], Any]
    shapes: Any
    keys: KeyMap | None = None


class Counterpart(NamedTuple):
    """The same network in PyTorch.

    Attributes:
      module: holds the network's tensors and no others.
      function: images NCHW -> a tree of tensors that match the port's (maps NCHW).
      official: turns the module's tensors by name into those that the port's KeyMap expects.
    """

    module: Any
    function: Callable[[Any], Any]
    official: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict


@dataclass(frozen=True)
class Row:
    """What is measured.

    Attributes:
      name: on the command line.
      what: in the table.
      shape: of one input, without the batch.
      batches: inputs per call, on a CPU and on a GPU.
      port: dtype -> Port.
      torch: () -> Counterpart, or None if there is none.
      alone: why there is none.
      gain: of the random kernels of both; it keeps the values of deep networks within float32.
    """

    name: str
    what: str
    shape: tuple[int, ...]
    batches: tuple[int, int]
    port: Callable[[Any], Port]
    torch: Callable[[], Counterpart] | None = None
    alone: str = ""
    gain: float = 1.0


def _shapes(network: Any, shape: tuple[int, ...], **arguments: Any) -> Any:
    import jax
    import jax.numpy as jnp

    example = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    return jax.eval_shape(lambda key, x: network.init(key, x, **arguments), jax.random.key(0), example)


def _swin(dtype: Any) -> Port:
    from third_party_ports.swin import KEYS, Swin

    network = Swin(dtype=dtype)

    def tokens(variables, images):
        x, _ = network.apply(variables, images)
        return x.reshape(len(x), 7, 7, -1)

    return Port(tokens, _shapes(network, (224, 224, 3)), KEYS)


def _torch_swin() -> Counterpart:
    from third_party_ports.checkpoints.swin_layouts import official_swin

    module = timm_package().create_model("swin_base_patch4_window7_224", num_classes=0)
    return Counterpart(
        module, lambda x: module.forward_features(x).permute(0, 3, 1, 2), lambda tensors: official_swin(tensors)[0]
    )


def _resnet50(dtype: Any) -> Port:
    from third_party_ports.resnet import KEYS, ResNet

    network = ResNet(dtype=dtype)
    shapes = _shapes(network, (224, 224, 3), train=False)
    return Port(lambda variables, images: network.apply(variables, images, train=False)[0], shapes, KEYS)


def _torch_resnet50() -> Counterpart:
    import torch

    module = _torchvision().models.resnet50(weights=None)
    module.fc = torch.nn.Identity()
    return Counterpart(module, module)


def _deeplabv3(dtype: Any) -> Port:
    from third_party_ports.deeplabv3 import KEYS, DeepLabV3

    network = DeepLabV3(dtype=dtype)
    return Port(lambda variables, images: network.apply(variables, images)[0], _shapes(network, (64, 64, 3)), KEYS)


def _torch_deeplabv3() -> Counterpart:
    module = _torchvision().models.segmentation.deeplabv3_resnet101(weights=None, weights_backbone=None)
    return Counterpart(module, lambda x: module.classifier(module.backbone(x)["out"]))


def _efficientnet(dtype: Any) -> Port:
    from third_party_ports.efficientnet import EfficientNet

    network = EfficientNet(dtype=dtype)
    return Port(lambda variables, images: network.apply(variables, images)[0], _shapes(network, (64, 64, 3)), KeyMap())


def _torch_efficientnet() -> Counterpart:
    module = timm_package().create_model("tf_efficientnet_b5")
    del module.bn2, module.classifier
    return Counterpart(module, lambda x: module.conv_head(module.blocks(module.bn1(module.conv_stem(x)))))


def _hrnet(dtype: Any) -> Port:
    from third_party_ports.dekr.hrnet import STACKED, HRNet

    network = HRNet(dtype=dtype)
    keys = KeyMap(stacked=rf"({STACKED})\.(\d+)(\..+)")
    return Port(lambda variables, images: network.apply(variables, images)[0], _shapes(network, (64, 64, 3)), keys)


def _torch_hrnet() -> Counterpart:
    module = timm_package().create_model("hrnet_w32")
    module.incre_modules = module.downsamp_modules = module.final_layer = module.classifier = None
    return Counterpart(module, module.forward_features)


def _trunk(dtype: Any) -> Port:
    from third_party_ports.resnet import KEYS, ResNet

    network = ResNet((3, 4, 23), stem="caffe", stride_in="1x1", dtype=dtype)
    shapes = _shapes(network, (64, 64, 3), train=False)
    return Port(lambda variables, images: network.apply(variables, images, train=False)[1]["layer3"], shapes, KEYS)


def _torch_trunk() -> Counterpart:
    import torch

    module = _torchvision().models.resnet101(weights=None)
    module.maxpool = torch.nn.MaxPool2d(3, 2, ceil_mode=True)
    for first in (module.layer2[0], module.layer3[0]):
        first.conv1.stride, first.conv2.stride = (2, 2), (1, 1)
    module.layer4 = module.avgpool = module.fc = None
    stages = (module.conv1, module.bn1, module.relu, module.maxpool, module.layer1, module.layer2, module.layer3)
    return Counterpart(module, torch.nn.Sequential(*stages))


def _regions(dtype: Any) -> Port:
    from third_party_ports.bottom_up.detector import BottomUp

    network = BottomUp(dtype=dtype)
    keys = KeyMap(renames=((r"^layer4\.", "res5."), (r"^fc\.", "cls_score.")))
    return Port(
        lambda variables, pooled: network.apply(variables, pooled, method="describe")[:2],
        _shapes(network, (14, 14, 1024), method="describe"),
        keys,
    )


def _torch_regions() -> Counterpart:
    import torch

    module = _torchvision().models.resnet101(weights=None, num_classes=1601)
    last = torch.nn.ModuleDict({"layer4": module.layer4, "fc": module.fc})
    for block in module.layer4:
        block.conv2.stride, block.conv2.dilation, block.conv2.padding = (1, 1), (2, 2), (2, 2)
    module.layer4[0].downsample[0].stride = (1, 1)

    def describe(pooled):
        features = last["layer4"](pooled).mean((2, 3))
        return features, last["fc"](features)

    return Counterpart(last, describe)


def _dekr(dtype: Any) -> Port:
    from third_party_ports.dekr.network import mirrored

    row = zoo.checkpoint("dekr_w32")
    network = row.network(dtype=dtype)

    def maps(variables, canvases):
        return network.apply(variables, canvases)[:2], network.apply(variables, mirrored(canvases))[:2]

    return Port(maps, row.shapes())


def _adabins(dtype: Any) -> Port:
    from third_party_ports.adabins.network import depth_maps

    row = zoo.checkpoint("adabins_nyu")
    network = row.network(dtype=dtype)

    def maps(variables, images):
        return depth_maps(lambda x: network.apply(variables, x), images, network.min_depth, network.max_depth)

    return Port(maps, row.shapes())


def _bottom_up(dtype: Any) -> Port:
    import jax.numpy as jnp

    from third_party_ports.bottom_up.detector import region_features

    row = zoo.checkpoint("bottom_up_r101")
    network, side = row.network(dtype=dtype), EXTRACT.caption.short_side

    def found(variables, images):
        # 60 makes values as large as pixels. All shapes are static, so the work does not depend on what is found.
        sizes = jnp.full((len(images), 2), side)
        return region_features(network, variables, 60 * images, sizes, jnp.ones(len(images)))

    return Port(found, row.shapes())


def _m2_transformer(dtype: Any) -> Port:
    import jax.numpy as jnp

    from third_party_ports.m2_transformer.beam_search import search_captions
    from third_party_ports.m2_transformer.network import caption_vector

    row, own = zoo.checkpoint("m2_transformer"), EXTRACT.caption
    network = row.network(dtype=dtype)

    def captions(variables, regions):
        count = jnp.full(len(regions), own.regions)
        levels = network.apply(variables, jnp.maximum(regions, 0), count, method="encode")
        beams = search_captions(network, variables, levels, count, beams=own.beam, steps=own.words)
        return caption_vector(levels, count), beams.tokens[:, 0]

    return Port(captions, row.shapes())


def timm_package() -> Any:
    """The package timm, which needs torchvision to import."""
    _torchvision()
    import timm

    return timm


def _torchvision() -> Any:
    """Imports torchvision, even PyPI's build with a CPU build of torch.

    There, torchvision cannot register its operators. No network here needs them, but its import does.
    """
    import torch

    try:
        import torchvision
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float threshold) -> Tensor")
        import torchvision
    return torchvision


_POSE, _BACKGROUND, _DEPTH = EXTRACT.pose.side, EXTRACT.background.side, tuple(EXTRACT.depth.size)
_ROWS = (
    Row("swin", "Swin-B", (224, 224, 3), (8, 64), _swin, _torch_swin),
    Row("resnet50", "ResNet50", (224, 224, 3), (8, 64), _resnet50, _torch_resnet50),
    Row("deeplabv3", "DeepLabV3-R101", (_BACKGROUND, _BACKGROUND, 3), (2, 16), _deeplabv3, _torch_deeplabv3),
    Row("efficientnet", "AdaBins' encoder", (*_DEPTH, 3), (2, 16), _efficientnet, _torch_efficientnet, gain=1.31),
    Row("hrnet", "DEKR's HRNet-W32", (_POSE, _POSE, 3), (2, 16), _hrnet, _torch_hrnet, gain=0.7),
    Row("trunk", "detector's trunk", (CANVAS, CANVAS, 3), (1, 8), _trunk, _torch_trunk, gain=0.6),
    Row("regions", "detector's res5, one region", (14, 14, 1024), (50, 50), _regions, _torch_regions, gain=0.6),
    Row("dekr", "DEKR-W32 and mirrored", (_POSE, _POSE, 3), (2, 16), _dekr,
        alone="its adaptive convolutions are in no package"),
    Row("adabins", "AdaBins and mirrored", (*_DEPTH, 3), (1, 8), _adabins, alone="it is in no package"),
    Row("bottom_up", "detector, 300 proposals", (CANVAS, CANVAS, 3), (1, 8), _bottom_up, alone="it is in no package"),
    Row("m2_transformer", "M2 Transformer, beam search", (EXTRACT.caption.regions, 2048), (8, 64), _m2_transformer,
        alone="its memories and meshed attention are in no package"),
)  # fmt: skip
ROWS: dict[str, Row] = {row.name: row for row in _ROWS}
