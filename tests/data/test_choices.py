"""Choices are compared field by field, and the message says which one differs."""

import pytest

from configs import full
from data_builders import choices


def test_equal_choices_pass_whatever_their_order():
    data = full.get_config().data.to_dict()
    again = dict(reversed(list(data.items())))
    assert choices.differences(data, again) == []
    choices.require_equal(data, again, "here", "nothing")


def test_each_differing_field_is_named_with_both_values():
    stored = {"memory": {"exclude": "group", "past_only": False}, "top_n": 3000, "old": 1}
    wanted = {"memory": {"exclude": "post", "past_only": False}, "top_n": 3000, "pose": {"new": 2}}
    assert choices.differences(stored, wanted) == [
        ("data.memory.exclude", "group", "post"),
        ("data.pose", choices.ABSENT, {"new": 2}),
        ("data.old", 1, choices.ABSENT),
    ]
    with pytest.raises(ValueError, match=r"/d: config.data.memory.exclude is 'group' in the data set"):
        choices.require_equal(stored, wanted, "/d", "Build again.")
