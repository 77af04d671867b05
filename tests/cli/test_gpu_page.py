"""The trainings that docs/gpu.md documents: their flags are taken, and four devices can share their steps."""

import re
import shlex

import jax
import pytest

from ipa_jax import main, train
from ipa_jax.training import preflight
from tests.helpers.paths import ROOT

TEXT = (ROOT / "docs/gpu.md").read_text().replace("\\\n", " ")
TRAININGS = re.findall(r"^(?:\w+=\S+ )?ipa-jax train (.*)$", TEXT, re.M)
RESULTS = {"test": {"accuracy": 0.5, "accuracy_interval": (0.4, 0.6)}}


@pytest.mark.parametrize("line", TRAININGS)
def test_a_documented_training_suits_four_devices(line, monkeypatch, tmp_path):
    configs = []
    monkeypatch.setattr(train, "run", lambda config, *_: configs.append(config) or RESULTS)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_: None)
    monkeypatch.chdir(tmp_path)  # where workdirs are relative to
    assert main.main(shlex.split(line)) == 0
    preflight.check_model(configs[0])
    preflight.check_batch(configs[0], devices=4)


def test_the_page_has_a_training_for_each_of_its_sections():
    text = " ".join(TRAININGS)
    assert len(TRAININGS) == 7
    for words in ("full:tiny", "dtype=float16", "dtype=float32", "batch.accumulate=3", "--processes=2", "init.swin="):
        assert words in text
