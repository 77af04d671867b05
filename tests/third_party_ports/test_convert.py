"""Tests of the command convert: what it prints, writes and refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from third_party_ports import convert
from third_party_ports.parity import recipe, torch_zip

RESCORE = {f"l{n}.{kind}": shape for n, (i, o) in enumerate(((74, 256), (256, 256), (256, 1)), 1)
           for kind, shape in (("weight", (o, i)), ("bias", (o,)))}  # fmt: skip


def rescorer(folder: Path, name: str = "final_rescore_coco_kpt.pth", **changes) -> Path:
    tensors = {key: recipe.tensor(key, shape) for key, shape in RESCORE.items()} | changes
    torch_zip.write(folder / name, tensors)
    return folder / name


def command(*arguments) -> int:
    return convert.main([*map(str, arguments)])


def test_the_command(tmp_path, capsys):
    """Converts the smallest published network at its real size."""
    command("dekr_rescore", rescorer(tmp_path), "--out", tmp_path / "r.safetensors")
    assert capsys.readouterr().out.startswith("dekr_rescore: 6 tensors, 85,249 numbers, 0 not needed, sha256")
    assert load_file(tmp_path / "r.safetensors").keys() == RESCORE.keys()


def test_the_command_ends_with_a_sentence(tmp_path, capsys):
    crowd = rescorer(tmp_path, "final_rescore_crowd_pose_kpt.pth", **{"l1.weight": np.ones((256, 62), np.float32)})
    for given, words in (
        (
            ["dekr_rescore", tmp_path / "absent.pth", "--out", tmp_path / "a.safetensors"],
            "absent.pth: this checkpoint",
        ),
        (["dekr_rescore", crowd, "--out", tmp_path / "a.safetensors"], "looks like the scoring net of DEKR for Crowd"),
        (["m2_vocab", crowd, "--out", tmp_path / "vocab.json"], "vocab.pkl"),
    ):
        assert command(*given) == 1 and words in capsys.readouterr().err
    for given, words in (
        (["dekr", crowd, "--out", tmp_path / "a.safetensors"], "invalid choice: 'dekr'"),
        (["dekr_rescore", crowd, "--out", tmp_path / "a.pth"], "becomes a .safetensors file"),
        (["m2_vocab", crowd, "--out", tmp_path / "a.txt"], "becomes a .json file"),
    ):
        with pytest.raises(SystemExit):
            command(*given)
        assert words in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == [crowd.name]


@pytest.mark.parametrize("out", ["file/a.safetensors", "folder.safetensors", f"{'a' * 300}.safetensors"])
def test_an_output_that_cannot_be_written(tmp_path, capsys, out):
    (tmp_path / "file").touch()
    (tmp_path / "folder.safetensors").mkdir()
    checkpoint = rescorer(tmp_path)
    assert command("dekr_rescore", checkpoint, "--out", tmp_path / out) == 1
    message = capsys.readouterr().err
    assert str(tmp_path / out) in message and message.count("\n") == 1 and "--out that can be written" in message


def test_the_checkpoint_is_never_overwritten(tmp_path, capsys):
    checkpoint = tmp_path / "a.safetensors"
    save_file({key: recipe.tensor(key, shape) for key, shape in RESCORE.items()}, checkpoint)
    with pytest.raises(SystemExit):
        command("dekr_rescore", checkpoint, "--out", tmp_path / "../" / tmp_path.name / "a.safetensors")
    assert "the checkpoint itself" in capsys.readouterr().err


def test_the_vocabulary(tmp_path, monkeypatch, capsys):
    words = ["<unk>", "<pad>", "<bos>", "<eos>", "a", "\n"]
    monkeypatch.setattr("third_party_ports.m2_transformer.vocabulary.read_vocabulary", lambda path: words)
    command("m2_vocab", "vocab.pkl", "--out", tmp_path / "deep/vocab.json")
    assert json.loads((tmp_path / "deep/vocab.json").read_text())["words"] == words
    assert "m2_vocab: 6 words" in capsys.readouterr().out
