"""Tests of finding a network's tensors in what training programs save around them."""

import pytest

from third_party_ports.checkpoints import zoo
from third_party_ports.checkpoints.wrappers import KEYS, unwrap

NAMES = ("l1.weight", "l1.bias", "layers.0.norm.weight")


@pytest.mark.parametrize(
    "before",
    ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "state_dict.", "state_dict.model.",
     "state_dict.model._orig_mod.", "model_state_dict.module.", "model.", "net.", "model_ema.", "state_dict.module."],
)  # fmt: skip
def test_wrappers_of_common_programs(before):
    others = ("optimizer.state.0.exp_avg", "loss.weight") if "." in before.replace("_orig_mod.", "")[:-1] else ()
    found = unwrap([*(before + name for name in NAMES), *others * (before.count(".") > 1)], KEYS)
    assert {name: full for name, full in found.names.items() if name in NAMES} == {n: before + n for n in NAMES}
    assert found.remarks == []


def test_parts_that_were_compiled():
    assert unwrap(["backbone._orig_mod.w", "head.w"], KEYS).names.keys() == {"backbone.w", "head.w"}


@pytest.mark.parametrize(
    ("taken", "other"),
    [("state_dict", "state_dict_ema"), ("model", "model_ema"), ("model", "ema"), ("state_dict", "teacher"),
     ("best_state_dict", "state_dict")],
)  # fmt: skip
def test_a_choice_between_two_sets_is_told(taken, other):
    names = [f"{key}.{prefix}{name}" for key, prefix in ((other, "module."), (taken, "")) for name in NAMES]
    found = unwrap([*names, "optimizer.0"], ("best_state_dict", *KEYS))
    assert found.names == {name: f"{taken}.{name}" for name in NAMES}
    (remark,) = found.remarks
    assert taken in remark and other in remark and "\n" not in remark


def test_a_word_before_some_names_is_no_wrapper():
    names = ["module.norm.bias", "norm.bias"]
    assert list(unwrap(names, KEYS).names) == names


def test_no_published_name_begins_with_a_wrapper():
    for row in zoo.CHECKPOINTS.values():
        assert not [name for name in row.signature if name.split(".")[0] in KEYS], row.name
