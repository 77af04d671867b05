"""Tests of flags' values: what is refused, with which message, and that the message names the flag."""

import argparse

import pytest

from third_party_ports.cli import Parser, fail, new_file, output_folder, whole_number, whole_numbers


def parse(kind, text, capsys):
    """Returns the value of --it=text, or the error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--it", type=kind)
    try:
        return parser.parse_args([f"--it={text}"]).it
    except SystemExit as end:
        assert end.code == 2
        return capsys.readouterr().err.split("error: ")[1].strip()


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (whole_number(1), "3", 3),
        (whole_number(1), "0", "argument --it: must be 1 or more, not 0"),
        (whole_number(0), "-1", "argument --it: must be 0 or more, not -1"),
        (whole_number(1), "a", "argument --it: 'a' is not a whole number"),
        (whole_number(0, 9), "10", "argument --it: must be 0 to 9, not 10"),
        (whole_numbers, "0,4", [0, 4]),
        (whole_numbers, "0,4,0", "argument --it: 0,4,0: a number is given twice"),
        (whole_numbers, "0,", "argument --it: '' is not a whole number"),
        (whole_numbers, "0,-2", "argument --it: must be 0 or more, not -2"),
    ],
)
def test_numbers(kind, text, value, capsys):
    assert parse(kind, text, capsys) == value


def test_a_new_files_folder_is_created(tmp_path, capsys):
    file = tmp_path / "a/b/x.json"
    assert parse(new_file, file, capsys) == file
    assert file.parent.is_dir() and not file.exists()
    file.write_text("there")
    assert parse(new_file, file, capsys) == file and file.read_text() == "there"
    assert parse(output_folder, tmp_path / "c/d", capsys).is_dir()


def test_paths_that_cannot_be_written_are_refused(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert f"--it: {tmp_path} is a folder: name a file in it" in parse(new_file, tmp_path, capsys)
    for kind, place in ((new_file, "file/x.json"), (output_folder, "file"), (output_folder, "file/x")):
        said = parse(kind, tmp_path / place, capsys)
        assert said.startswith(f"argument --it: the folder {tmp_path}/file") and said.endswith("name another place")


@pytest.mark.parametrize(
    ("word", "expected"),
    [("~/a", "/home/me/a"), ("--out=~/a", "--out=/home/me/a"), ("--set=init.swin=~/a", "--set=init.swin=/home/me/a"),
     ("--to=~", "--to=/home/me"), ("--in=a,~/b", "--in=a,/home/me/b"), ("a~b", "a~b"), ("./~/a", "./~/a"),
     ("--pattern=x~/y", "--pattern=x~/y")],
)  # fmt: skip
def test_a_tilde_is_the_home_folder_in_every_flag(word, expected, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    parser = Parser("x", "doc")
    parser.add_argument("words", nargs="*")
    assert parser.parse_known_args([word]) == (argparse.Namespace(words=[expected] if word[0] != "-" else []),
                                               [expected] if word[0] == "-" else [])  # fmt: skip


@pytest.mark.parametrize(("words", "named"), [(["--out="], "--out="), (["--out", ""], "--out"), ([""], "an argument")])
def test_an_empty_value_is_refused_in_every_flag(words, named, capsys):
    parser = Parser("x", "doc")
    parser.add_argument("--out")
    with pytest.raises(SystemExit) as end:
        parser.parse_args(words)
    assert end.value.code == 2 and f"error: {named} has an empty value" in capsys.readouterr().err


def test_an_error_of_the_system_names_its_file(tmp_path, capsys):
    with pytest.raises(OSError) as told:
        (tmp_path / "a" / "b").mkdir()
    assert fail(told.value) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path}/a/b: ") and "name another file or folder" in said and "Errno" not in said
