"""--config and --config.FIELD: paths at home, parts given as a dict, and what is wrong with a value."""

import pytest

from data_builders.cli import ConfigParser
from tests.helpers.paths import ROOT


def parsed(*flags: str):
    return ConfigParser("x", "doc").parse_args(["--config=full:tiny", *flags]).config


def test_a_tilde_is_the_home_folder_in_fields_and_in_files_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    config = parsed("--config.data_dir=~/data", "--config.extract.weights=~/w")
    assert (config.data_dir, config.extract.weights) == ("/home/me/data", "/home/me/w")
    own = tmp_path / "own.py"
    own.write_text("from configs import full\ndef get_config(size='tiny'):\n"
                   "    config = full.get_config(size)\n    config.init.swin = '~/swin.safetensors'\n"
                   "    return config\n")  # fmt: skip
    config = ConfigParser("x", "doc").parse_args([f"--config={own}"]).config
    assert config.init.swin == "/home/me/swin.safetensors"


def test_shipped_configs_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("full:tiny", "configs/full.py:tiny", f"{ROOT}/configs/full.py:tiny"):
        assert ConfigParser("x", "doc").parse_args([f"--config={name}"]).config.size == "tiny"


@pytest.mark.parametrize(
    "flags",
    [
        ["--config.data.similarity={'pose': 1}"],
        ["--config.data.similarity", "{'pose': 1}"],
        ["--config.data={'similarity': {'pose': 1}}"],
    ],
)
def test_a_part_given_as_a_dict_changes_its_fields(flags):
    similarity = parsed(*flags).data.similarity
    assert similarity.to_dict() == {"pose": 1.0, "background": 1 / 3, "caption": 1 / 3}


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--config.data.similarity={'pse': 1}", ["pse"]),
        ("--config.data.similarity={1: 1}", ["similarity.1"]),
        ("--config.data.similarity=0.5", ["--config.data.similarity is a part", "--config.data.similarity."]),
        ("--config.data.similarity={'pose'", ["is a part"]),
        ("--config.data.similarity={'pose': 'much'}", ["pose"]),
        ("--config.loss={'name': 'bce', 'nme': 1}", ["nme"]),
        ("--config.nothing={'a': 1}", ["nothing"]),
    ],
)
def test_a_wrong_part_is_one_line(flag, words, capsys):
    with pytest.raises(SystemExit) as end:
        parsed(flag)
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.startswith("error: ") and said.count("\n") == 1
    assert all(word in said for word in words), said
