"""The folders and the leading model of a demo; its steps run in tests/cli/test_demo.py."""

import pytest

from ipa_jax.experiments.demo_job import Demo


@pytest.mark.parametrize(("configs", "lead"), [(["basic", "full"], "full"), (["concat", "basic"], "concat")])
def test_the_full_model_leads_the_report(configs, lead, tmp_path):
    assert Demo(tmp_path, [0], configs, 20, 40, "tiny").lead == lead


def test_several_worlds_have_a_folder_each(tmp_path):
    one, two = (Demo(tmp_path, seeds, ["full"], 20, 40, "tiny").folders for seeds in ([3], [3, 4]))
    assert one == {"seed3": tmp_path}
    assert two == {"seed3": tmp_path / "seed3", "seed4": tmp_path / "seed4"}
