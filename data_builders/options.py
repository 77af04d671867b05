"""The options of a build (config.data) and of an extraction (config.extract): their ranges, and how they differ."""

from collections.abc import Mapping
from typing import Any

from configs import full
from data_builders import bounds

ABSENT = "<absent>"
ALLOWED = {  # of config.data
    "posts.carousel": ("first", "skip", "all"),
    "split.by": ("group", "account"),
    "memory.exclude": ("group", "post", "none"),
    "memory.fallback": ("none", "cross_account"),
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


def check(options: Mapping[str, Any]) -> None:
    """Checks config.data. Raises ValueError for an option out of its range, by name."""
    check_fields(options, ALLOWED, "config.data")
    bounds.check(options, bounds.DATA, "config.data")
    least, most = options["groups"]["min_images"], options["groups"]["max_images"]
    if least > most:
        raise ValueError(f"config.data.groups.min_images is {least}: set it to {most} (max_images) or less")
    if not any(options["similarity"].values()):
        raise ValueError("config.data.similarity has only zeros: give a part of it a weight above 0")


def check_extract(options: Mapping[str, Any]) -> None:
    """Checks config.extract. Raises ValueError for an option out of its range, by name."""
    check_fields(options, EXTRACT_ALLOWED, "config.extract")
    bounds.check(options, bounds.EXTRACT, "config.extract")
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


def check_fields(values: bounds.Values, allowed: Mapping[str, tuple], prefix: str) -> None:
    """Checks fields of a config that have a few values.

    Args:
      values: nested mapping, or ConfigDict.
      allowed: the values that a field may have, by the field's dotted path.
      prefix: the beginning of the field's name in messages.

    Raises:
      ValueError: names the first field that has another value, and what it may be.
    """
    for path, known in allowed.items():
        for field, value in bounds.fields(values, path):
            if value not in known:
                raise ValueError(f"{prefix}.{field} is {value!r}: set it to one of {', '.join(map(str, known))}")


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
