"""The choices of an extraction (`config.extract`), checked before a photo is read."""

from collections.abc import Mapping
from typing import Any

from data_builders.options import check_fields

ALLOWED = {
    "dtype": ("float32", "bfloat16"),
    "pose.network": ("dekr_w32", "dekr_w48"),
    "background.network": ("deeplabv3_resnet101",),
    "caption.detector": ("bottom_up_r101", "bottom_up_r101_k36"),
    "caption.captioner": ("m2_transformer",),
    "depth.network": ("adabins_nyu", "adabins_kitti"),
}
AT_LEAST = {
    "batch": 1,
    "workers": 0,
    "shard_rows": 1,
    "pose.side": 64,
    "pose.person_score": 0,
    "pose.max_aspect": 1,
    "background.side": 32,
    "caption.short_side": 32,
    "caption.long_side": 32,
    "caption.min_boxes": 1,
    "caption.max_boxes": 1,
    "caption.regions": 1,
    "caption.beam": 1,
    "caption.words": 1,
}


def check(options: Mapping[str, Any]) -> None:
    """Raises ValueError for a choice out of its range, by name."""
    check_fields(options, ALLOWED, AT_LEAST, "config.extract")
    scales = tuple(options["pose"]["scales"])
    if 1 not in scales or any(scale <= 0 or scale % 0.5 for scale in scales):
        raise ValueError(
            f"config.extract.pose.scales is {scales}: set it to multiples of 0.5, 1 among them, such as (0.5, 1.0, 2.0)"
        )
    caption = options["caption"]
    if caption["min_boxes"] > caption["max_boxes"]:
        raise ValueError(
            f"config.extract.caption.min_boxes is {caption['min_boxes']}: set it to {caption['max_boxes']} (max_boxes) "
            "or less"
        )
