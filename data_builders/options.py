"""The options of a build (config.data) and of an extraction (config.extract): their ranges, and how they differ."""

from collections.abc import Mapping
from typing import Any

from configs import full

ABSENT = "<absent>"
ALLOWED = {  # of config.data
    "posts.carousel": ("first", "skip", "all"),
    "split.by": ("group", "account"),
    "memory.exclude": ("group", "post", "none"),
    "memory.fallback": ("none", "cross_account"),
}
AT_LEAST = {
    "top_n": 1,
    "posts.min_age_days": 0,
    "groups.window_days": 0,
    "groups.min_images": 2,
    "groups.max_images": 2,
    "pairs.min_ratio": 1,
    "memory.min_lag_days": 0,
    "memory.window_days": 1e-9,  # eq. 2 asks for strictly less
    "memory.max_posts": -1,
    "memory.fallback_below": 1,
    "similarity.pose": 0,
    "similarity.background": 0,
    "similarity.caption": 0,
    "retrieval.k": 1,
    "pose.keypoint_threshold": 0,
    "depth.side": 0,
    "image.max_side": 0,
    "duplicates.max_bits": 0,
}
EXTRACT_ALLOWED = {  # of config.extract
    "profile": ("paper", "light"),
    "dtype": ("float32", "bfloat16"),
    "pose.network": ("dekr_w32", "dekr_w48"),
    "background.network": ("deeplabv3_resnet101",),
    "caption.detector": ("bottom_up_r101", "bottom_up_r101_k36"),
    "caption.captioner": ("m2_transformer",),
    "depth.network": ("adabins_nyu", "adabins_kitti"),
    "light.network": ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"),
}
EXTRACT_AT_LEAST = {
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
    "light.side": 32,
}


def check(options: Mapping[str, Any]) -> None:
    """Checks config.data. Raises ValueError for an option out of its range, by name."""
    check_fields(options, ALLOWED, AT_LEAST, "config.data")


def check_extract(options: Mapping[str, Any]) -> None:
    """Checks config.extract. Raises ValueError for an option out of its range, by name."""
    check_fields(options, EXTRACT_ALLOWED, EXTRACT_AT_LEAST, "config.extract")
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


def check_fields(
    values: Mapping[str, Any], allowed: Mapping[str, tuple], at_least: Mapping[str, float], prefix: str
) -> None:
    """Checks fields of a config.

    Args:
      values: nested mapping, or ConfigDict.
      allowed: the values that a field may have, by the field's dotted path.
      at_least: the least value that a field may have, by the field's dotted path.
      prefix: the beginning of the field's name in messages.

    Raises:
      ValueError: names the first field that has another value, and what it may be.
    """
    for path, known in allowed.items():
        if (value := _at(values, path)) not in known:
            raise ValueError(f"{prefix}.{path} is {value!r}: set it to one of {', '.join(map(str, known))}")
    for path, least in at_least.items():
        if not (value := _at(values, path)) >= least:  # this way round NaN is refused too
            bound = "above 0" if 0 < least < 1 else f"{least:g} or more"
            raise ValueError(f"{prefix}.{path} is {value!r}: set it to {bound}")


def _at(values: Mapping[str, Any], path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values


def differences(
    stored: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "data"
) -> list[tuple[str, Any, Any]]:
    """Fields in which two nested mappings of options differ.

    Args:
      stored: the options that a data set was built with.
      wanted: the options of now, such as config.data.to_dict().
      prefix: the beginning of the names that are returned.

    Returns:
      (field such as "data.memory.exclude", stored value, wanted value), in the order of `wanted`, then the fields that
      only `stored` has. "<absent>" is the value of a field that a side lacks.
    """
    found = []
    for name in [*wanted, *(name for name in stored if name not in wanted)]:
        field = f"{prefix}.{name}"
        old, new = (side.get(name, ABSENT) for side in (stored, wanted))
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, field)
        elif old != new:
            found.append((field, old, new))
    return found


def require_equal(stored: Mapping[str, Any], wanted: Mapping[str, Any], where: str, remedy: str) -> None:
    """Compares the options of a data set with those of now. A field that the data set lacks, because an earlier version
    built it, counts as today's default.

    Args:
      stored, wanted: as those of `differences`.
      where: path of the data set; the message begins with it.
      remedy: what to do; the message ends with it.

    Raises:
      ValueError: they differ; names each field and both values.
    """
    found = differences(with_defaults(stored, wanted), wanted)
    if found:
        fields = "; ".join(f"config.{field} is {old!r} in the data set and {new!r} here" for field, old, new in found)
        raise ValueError(f"{where}: {fields}. {remedy}")


def with_defaults(stored: Mapping[str, Any], fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The options of a data set, with today's default for each field that it lacks.

    Args:
      stored: nested mapping, config.data of the build, perhaps by an earlier version.
      fields: a nested mapping whose fields the result has; None: all fields of config.data.
    """
    defaults = full.get_config().data.to_dict()
    return _over(defaults, stored, defaults if fields is None else fields)


def _over(defaults: Mapping[str, Any], stored: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(stored)
    for name in (name for name in fields if name in defaults):
        if name not in stored:
            found[name] = defaults[name]
        elif isinstance(stored[name], Mapping) and isinstance(fields[name], Mapping):
            found[name] = _over(defaults[name], stored[name], fields[name])
    return found
