"""Choices are compared field by field, and the message says which one differs."""

import pytest

from configs import full
from data_builders import options


def test_equal_choices_pass_whatever_their_order():
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
def test_a_choice_out_of_range_is_named_with_what_is_allowed(section, field, value):
    wanted = full.get_config().data.to_dict()
    options.check(wanted)
    wanted[section][field] = value
    with pytest.raises(ValueError, match=rf"config\.data\.{section}\.{field} is .*: set it to "):
        options.check(wanted)
