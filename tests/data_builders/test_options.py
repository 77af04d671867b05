"""Options are checked and compared field by field, and messages name the field."""

import pytest

from configs import full
from data_builders import options


def test_equal_options_pass_whatever_their_order():
    data = full.get_config().data.to_dict()
    again = dict(reversed(list(data.items())))
    assert options.differences(data, again) == []
    options.require_equal(data, again, "here", "nothing")


def test_each_differing_field_is_named_with_both_values():
    stored = {"memory": {"exclude": "group", "past_only": False}, "top_n": 3000, "old": 1}
    wanted = {"memory": {"exclude": "post", "past_only": False}, "top_n": 3000, "pose": {"new": 2}}
    assert options.differences(stored, wanted) == [
        ("data.memory.exclude", "group", "post"),
        ("data.pose", options.ABSENT, {"new": 2}),
        ("data.old", 1, options.ABSENT),
    ]
    with pytest.raises(ValueError, match=r"/d: config.data.memory.exclude is 'group' in the data set"):
        options.require_equal(stored, wanted, "/d", "Build again.")


def test_a_field_that_a_data_set_lacks_counts_as_todays_default():
    wanted, stored = (full.get_config().data.to_dict() for _ in range(2))
    del stored["memory"]["fallback"], stored["duplicates"]
    options.require_equal(stored, wanted, "here", "nothing")
    assert options.with_defaults(stored) == wanted
    wanted["memory"]["fallback"] = "cross_account"
    with pytest.raises(ValueError, match=r"config.data.memory.fallback is 'none' in the data set and 'cross_account'"):
        options.require_equal(stored, wanted, "here", "nothing")


@pytest.mark.parametrize(
    "section, field, value",
    [
        ("retrieval", "k", 0),
        ("groups", "window_days", -1.0),
        ("groups", "max_images", 0),
        ("memory", "exclude", "self"),
        ("memory", "window_days", 0.0),
        ("posts", "carousel", "last"),
        ("pairs", "min_ratio", float("nan")),
    ],
)
def test_an_option_of_a_build_out_of_range_is_named_with_what_is_allowed(section, field, value):
    wanted = full.get_config().data.to_dict()
    options.check(wanted)
    wanted[section][field] = value
    with pytest.raises(ValueError, match=rf"config\.data\.{section}\.{field} is .*: set it to "):
        options.check(wanted)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("dtype", "float16", "config.extract.dtype is 'float16': set it to one of float32, bfloat16"),
        ("batch", 0, "config.extract.batch is 0"),
        ("background.network", "dekr_w32", "config.extract.background.network is 'dekr_w32'"),
        ("pose.scales", (0.75, 1.0), "config.extract.pose.scales is"),
        ("pose.scales", (2.0,), "config.extract.pose.scales is"),
        ("caption.min_boxes", 101, "config.extract.caption.min_boxes is 101"),
    ],
)
def test_an_option_of_an_extraction_out_of_its_range_is_named(path, value, message):
    wanted = full.get_config().extract.to_dict()
    options.check_extract(wanted)
    *owner, name = path.split(".")
    part = wanted[owner[0]] if owner else wanted
    part[name] = value
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        options.check_extract(wanted)
