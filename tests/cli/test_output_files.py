"""A command that cannot write its output says so before its work; a missing folder is made."""

import pytest

from ipa_jax import evaluate
from ipa_jax.experiments import demo
from ipa_jax.leakage import near_duplicates
from ipa_jax.peers import zero_shot
from ipa_jax.report import __main__ as report

COMMANDS = {  # command: the flag of its output, and the others that it needs, which name nothing that exists
    near_duplicates: ("--out", ["--export=nowhere", "--data_dir=nowhere"]),
    evaluate: ("--scores", ["--export=nowhere"]),
    zero_shot: ("--scores", ["--network=nima", "--data_dir=nowhere"]),
    report: ("--out", ["--workdir=nowhere", "--data_dir=nowhere"]),
    demo: ("--out", ["--configs=nowhere"]),
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_a_place_that_cannot_be_written_is_refused_first(command, tmp_path, capsys):
    flag, needed = COMMANDS[command]
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        command.main([f"{flag}={tmp_path}/file/x.parquet", *needed])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and f"argument {flag}: the folder {tmp_path}/file" in said
    assert command.main([f"{flag}={tmp_path}/new/x.parquet", *needed]) in (1, 2)  # on to the next thing that is wrong
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize(
    ("flag", "said"), [("--seeds=0,a", "--seeds: 'a' is not a whole number"), ("--accounts=0", "--accounts: must be 1")]
)
def test_the_demo_says_which_number_is_wrong(flag, said, tmp_path, capsys):
    with pytest.raises(SystemExit):
        demo.main([f"--out={tmp_path}/demo", flag])
    assert said in capsys.readouterr().err
