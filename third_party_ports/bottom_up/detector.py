"""Bottom-up attention (arXiv 1707.07998): a Faster R-CNN whose region vectors M2 Transformer reads.

Ported from MILVLG/bottom-up-attention.pytorch (Apache-2.0), the PyTorch version of peteanderson80/bottom-up-attention
(MIT): a ResNet-101 in Caffe's variant, trained on Visual Genome. Parameters have the names of our ResNet, under `trunk`
and `res5`.
Shapes: N images, H W their sides, h w the sides of the map at 1/16, R regions per image, M regions in all.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from third_party_ports.bottom_up import regions
from third_party_ports.checkpoints.weights import KeyMap, WeightsError
from third_party_ports.layers.linear import Linear
from third_party_ports.layers.winograd import convolution
from third_party_ports.resnet import Bottleneck, ResNet, inside

KEYS = KeyMap(
    wrappers=("model",),
    renames=(
        (r"^module\.", ""),
        (r"^backbone\.stem\.", "trunk."),
        (r"^backbone\.res2\.", "trunk.layer1."),
        (r"^backbone\.res3\.", "trunk.layer2."),
        (r"^backbone\.res4\.", "trunk.layer3."),
        (r"^roi_heads\.(box_predictor\.)?", ""),
        (r"^proposal_generator\.(rpn_head\.)?", "rpn."),
        (r"\.conv(\d)\.norm\.", r".bn\1."),
        (r"\.shortcut\.norm\.", ".downsample.1."),
        (r"\.shortcut\.", ".downsample.0."),
    ),
    # The port uses the anchors in `regions`. The files hold a copy of them, which `check_anchors` compares.
    ignored=r".*\.num_batches_tracked|rpn\.anchor_generator\.cell_anchors\.0",
)
Taps = dict[str, jax.Array]


class BottomUp(nn.Module):
    """Computes features of given regions. `region_features` also finds the regions.

    Attributes:
      stage_sizes: blocks of the trunk's stages.
      width: channels of the stem. The map has 16 times as many, a region's feature 32 times as many.
      blocks: blocks of the last stage, which runs on each region.
      rpn_width: channels of the region proposal network.
      classes: without the background.
      attributes: without "no attribute".
      embedding: width of the class embedding, from which (and from the feature) the attributes are predicted.
      attribute_width: hidden units of the attribute predictor.
      dtype: of the computation; parameters, statistics and results stay float32.
    """

    stage_sizes: tuple[int, ...] = (3, 4, 23)
    width: int = 64
    blocks: int = 3
    rpn_width: int = 512
    classes: int = 1600
    attributes: int = 400
    embedding: int = 256
    attribute_width: int = 512
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.trunk = ResNet(self.stage_sizes, self.width, "caffe", self.dtype, stride_in="1x1")
        self.rpn = Proposer(self.rpn_width, self.dtype)
        self.res5 = [Bottleneck(8 * self.width, 1, 2, b == 0, "1x1", self.dtype) for b in range(self.blocks)]
        self.cls_score = Linear(self.classes + 1, dtype=self.dtype)
        self.bbox_pred = Linear(4 * (self.classes + 1), dtype=self.dtype)
        self.cls_embed = nn.Embed(self.classes + 1, self.embedding, dtype=self.dtype)
        self.attr_linear1 = Linear(self.attribute_width, dtype=self.dtype)
        self.attr_linear2 = Linear(self.attributes + 1, dtype=self.dtype)

    def __call__(
        self, images: jax.Array, boxes: jax.Array | None = None, sizes: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array, Taps]:
        """Computes the features of given boxes, in their order (the original's mode `bbox_feats`).

        Args:
          images: float32 [N, H, W, 3] from `region_input`, zero-padded to a common size.
          boxes: [N, R, 4] in network pixels (original pixels times im_scale), inside the images. None: a box around
            each whole image.
          sizes: int [N, 2], rows and columns without the padding; None if nothing is padded.

        Returns:
          Features [N, R, 32 * width], class logits [N, R, classes + 1] (0 is background), and all stages by name:
          those of `trace`, `roi_pooled` [M, 14, 14, C], those of `describe`, `box_deltas` and `attribute_probs`.
        """
        maps, cells, _, _, out = self.trace(images, sizes)
        if boxes is None:
            whole = jnp.broadcast_to(jnp.array(images.shape[1:3]), (len(images), 2)) if sizes is None else sizes
            boxes = jnp.concatenate([jnp.zeros_like(whole), whole[:, ::-1] - 1], -1)[:, None].astype(jnp.float32)
        pooled = jax.vmap(regions.pool)(maps, boxes, cells)
        out["roi_pooled"] = pooled.reshape(-1, *pooled.shape[2:])
        features, logits, taps = self.describe(out["roi_pooled"])
        out |= taps
        out["box_deltas"] = self.box_deltas(features)
        out["attribute_probs"] = self.attribute_probabilities(features, logits)
        return features.reshape(*boxes.shape[:2], -1), logits.reshape(*boxes.shape[:2], -1), out

    def trace(
        self, images: jax.Array, sizes: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array, Taps]:
        """Runs the trunk and the region proposal network. `images` and `sizes` are those of `__call__`.

        Returns:
          The map [N, h, w, 16 * width], its cells without padding int [N, 2], the anchors' logits [N, h, w, 24] and
          deltas [N, h, w, 48] (see `regions.propose`), and by name `stem`, `res2`, `res3` and `res4`.
        """
        _, taps = self.trunk(images, train=False, sizes=sizes)
        stages = {f"res{s + 2}": taps[f"layer{s + 1}"] for s in range(len(self.stage_sizes))}
        maps = taps[f"layer{len(self.stage_sizes)}"]
        cells = jnp.broadcast_to(jnp.array(maps.shape[1:3]), (len(images), 2)) if sizes is None else taps["sizes"]
        logits, deltas = self.rpn(maps if sizes is None else jnp.where(inside(maps, cells), maps, 0))
        return maps, cells, logits, deltas, {"stem": taps["stem"], **stages}

    def describe(self, pooled: jax.Array) -> tuple[jax.Array, jax.Array, Taps]:
        """Runs the last stage on pooled regions [M, 14, 14, 16 * width].

        Returns:
          Features [M, 32 * width] float32, not negative; class logits [M, classes + 1] float32; and by name `res5`
          [M, 14, 14, 32 * width], `roi_feature` and `class_logits`.
        """
        x = pooled
        for block in self.res5:
            x = block(x, train=False)
        features = x.mean((1, 2), dtype=jnp.float32)
        logits = self.cls_score(features).astype(jnp.float32)
        return features, logits, {"res5": x, "roi_feature": features, "class_logits": logits}

    def box_deltas(self, features: jax.Array) -> jax.Array:
        """Features [M, 32 * width] -> deltas for `regions.decode`, four per class: [M, 4 * (classes + 1)] float32."""
        return self.bbox_pred(features).astype(jnp.float32)

    def attribute_probabilities(self, features: jax.Array, logits: jax.Array) -> jax.Array:
        """Features [M, 32 * width] and class logits -> [M, attributes + 1] float32; index 0 is "no attribute"."""
        classes = self.cls_embed(logits.argmax(-1))  # the background counts as a class here, as in the original
        hidden = nn.relu(self.attr_linear1(jnp.concatenate([features, classes], -1)))
        return nn.softmax(self.attr_linear2(hidden).astype(jnp.float32))


class Proposer(nn.Module):
    """A map [N, h, w, C] -> the anchors' logits [N, h, w, 24] and deltas [N, h, w, 48]."""

    width: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        anchors = len(regions.ANCHORS)
        conv = nn.Conv(self.width, (3, 3), dtype=self.dtype, conv_general_dilated=convolution, name="conv")
        x = nn.relu(conv(x))  # "SAME" at stride 1 pads 1 on each side
        logits = Linear(2 * anchors, dtype=self.dtype, name="objectness_logits")(x)
        return logits, Linear(4 * anchors, dtype=self.dtype, name="anchor_deltas")(x)


class Regions(NamedTuple):
    """The regions of N images, in the original's order, in B rows per image. Rows from `count` on are zeros.

    Attributes:
      features: float32 [N, B, 32 * width].
      count: int32 [N], the number of real rows.
      boxes: float32 [N, B, 4], (x1, y1, x2, y2) in pixels of the original photos.
      proposals: int32 [N, B], each region's index among the image's proposals.
      objects, attributes: int32 [N, B], lines of the published vocabularies, counted from 0.
      object_confidence, attribute_confidence: float32 [N, B], their probabilities.
    """

    features: jax.Array
    count: jax.Array
    boxes: jax.Array
    proposals: jax.Array
    objects: jax.Array
    object_confidence: jax.Array
    attributes: jax.Array
    attribute_confidence: jax.Array


def region_features(
    network: BottomUp,
    variables: Mapping[str, Any],
    images: jax.Array,
    sizes: jax.Array,
    scales: jax.Array,
    *,
    min_boxes: int = 10,
    max_boxes: int = 100,
    chunk: int | None = None,
    together: int | None = None,
    proposals: int = 300,
    candidates: int = 6000,
    mode: Literal["roi_feats", "bboxes"] = "roi_feats",
) -> Regions:
    """Finds and describes the regions of each image, as the released extractor does. You can jit it.

    Args:
      network, variables: a `BottomUp` and its variables.
      images: float32 [N, H, W, 3] from `region_input`, zero-padded to a common size. An image's result depends
        neither on the padding nor on the other images.
      sizes: int [N, 2], rows and columns without the padding.
      scales: [N], im_scale of each image.
      min_boxes, max_boxes: regions per image, see `regions.choose`; 36 and 36 for the k36 weights. B is max_boxes, or
        `proposals` if that is less.
      chunk: regions of an image that run through the last stage together. None: 10 on the CPU, which its caches hold
        (with 50, a region takes a tenth longer), otherwise 100.
      together: images whose regions run through it together. None: 1 on the CPU, for the same reason, otherwise 4.
      proposals, candidates: see `regions.propose`.
      mode: "roi_feats" returns the proposals themselves, as M2 Transformer needs them. "bboxes" returns the same
        regions with refined boxes, always max_boxes of them, the most confident first.

    Raises:
      ValueError: min_boxes > max_boxes, or an unknown mode.
    """
    if mode not in ("roi_feats", "bboxes"):
        raise ValueError(f"region_features: mode is {mode!r}; give 'roi_feats' or 'bboxes'")
    cpu = jax.default_backend() == "cpu"
    chunk, together = chunk or (10 if cpu else 100), together or (1 if cpu else min(4, len(images)))
    with jax.default_matmul_precision("highest"):  # coarser products would change which regions are chosen
        bound = network.bind(variables)
        maps, cells, anchor_logits, deltas, _ = bound.trace(images, sizes)
        boxes, _, count = jax.vmap(partial(regions.propose, candidates=candidates, proposals=proposals))(
            anchor_logits, deltas, sizes, cells, scales
        )
        features, logits = _described(network, variables, (maps, boxes, cells), min(chunk, proposals), together)
        boxes = boxes / scales[:, None, None]  # from here on in original pixels
        probabilities = jax.nn.softmax(logits)[..., 1:]
        choose = partial(regions.choose, min_boxes=min_boxes, max_boxes=max_boxes)
        if mode == "bboxes":
            boxes = _refined(bound.box_deltas(features), boxes, probabilities)
            boxes = jax.vmap(regions.clip)(boxes, sizes / scales[:, None])
            choose = partial(regions.choose, min_boxes=max_boxes, max_boxes=max_boxes, threshold=jnp.inf)
        places, chosen = jax.vmap(choose)(jax.vmap(regions.confidence)(boxes, probabilities, count), count)
        features, logits, boxes, probabilities = (
            jnp.take_along_axis(values, places[..., None], 1) for values in (features, logits, boxes, probabilities)
        )
        attributes = bound.attribute_probabilities(features, logits)[..., 1:]
    return _filled(features, chosen, boxes, places, probabilities, attributes)


def check_anchors(tensors: Mapping[str, np.ndarray]) -> None:
    """Checks that the anchor table of a checkpoint, if it holds one, equals the one in `regions`.

    Raises:
      WeightsError: the tables differ, so the weights belong to other anchors.
    """
    for name, table in tensors.items():
        if name.endswith("anchor_generator.cell_anchors.0") and not (
            table.shape == regions.ANCHORS.shape and np.allclose(table, regions.ANCHORS, rtol=0, atol=1e-3)
        ):
            raise WeightsError(
                f"{name} differs from the anchors of the Caffe networks ({regions.ANCHORS[0].tolist()}, ...). Use one "
                "of the files that bottom-up-attention.pytorch converted from Caffe."
            )


def _filled(
    features: jax.Array,
    count: jax.Array,
    boxes: jax.Array,
    places: jax.Array,
    probabilities: jax.Array,
    attributes: jax.Array,
) -> Regions:
    """The chosen regions [N, B, ...] with zeros from `count` [N] on."""
    found = [features, boxes, places]
    for values in (probabilities, attributes):
        found += [values.argmax(-1).astype(jnp.int32), values.max(-1)]
    real = jnp.arange(places.shape[1]) < count[:, None]
    features, *others = (jnp.where(real.reshape(real.shape + (1,) * (v.ndim - 2)), v, 0) for v in found)
    return Regions(features, count, *others)


def _described(
    network: BottomUp,
    variables: Mapping[str, Any],
    images: tuple[jax.Array, jax.Array, jax.Array],
    chunk: int,
    together: int,
) -> tuple[jax.Array, jax.Array]:
    """Describes the regions of N images, `chunk` regions of `together` images at a time.

    Args:
      images: the maps [N, h, w, C], the boxes [N, R, 4], and the maps' cells without padding [N, 2].

    Returns:
      Features [N, R, 32 * width] and class logits [N, R, classes + 1].
    """

    def describe(image: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        features, boxes, cells = image
        pooled = regions.pool(features, jnp.pad(boxes, [(0, -len(boxes) % chunk), (0, 0)]), cells)
        pooled = pooled.reshape(-1, chunk, *pooled.shape[1:])
        described = jax.lax.map(lambda part: network.apply(variables, part, method="describe")[:2], pooled)
        return jax.tree.map(lambda values: values.reshape(-1, values.shape[-1])[: len(boxes)], described)

    return jax.lax.map(describe, images, batch_size=None if together == 1 else together)


def _refined(deltas: jax.Array, boxes: jax.Array, probabilities: jax.Array) -> jax.Array:
    """Moves boxes [N, R, 4] by the deltas [N, R, 4 * (classes + 1)] of their most probable classes -> [N, R, 4]."""
    deltas = deltas.reshape(*boxes.shape[:2], -1, 4)
    best = 1 + probabilities.argmax(-1)[..., None, None]
    return regions.decode(jnp.take_along_axis(deltas, best, 2)[:, :, 0], boxes)
