"""The score by hand, and its command."""

import json
import shutil
import socket

import numpy as np
import polars as pl
import pytest
from waitress.server import TcpWSGIServer

from ipa_jax.human_study import __main__ as command
from ipa_jax.human_study.score import lines, score, summary, trimmed_mean
from tests.helpers.participants import PAIRS, enter
from third_party_ports import checksums


def test_trimmed_mean_by_hand():
    accuracy = np.array([0.9, 0.5, 0.6, 0.4, 0.9])
    assert trimmed_mean(accuracy) == pytest.approx([(0.9 + 0.5 + 0.6) / 3])
    times = np.array([[5.0, 0, 0, 0, 0], [0, 2, 1, 2, 0]])
    assert trimmed_mean(accuracy, times) == pytest.approx([0.9, (0.5 + 0.5 + 0.4) / 3])


def test_summary_needs_people():
    names = ("mean", "mean_interval", "trimmed_mean", "trimmed_mean_interval")
    told = [[summary(np.full(n, 0.5), draws=50, seed=0)[name] is not None for name in names] for n in range(4)]
    assert told == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]


def test_the_interval_is_the_bootstrap_over_people():
    accuracy = np.random.default_rng(0).uniform(0.3, 0.9, 22)
    one, again, other = (summary(accuracy, draws=1000, seed=seed) for seed in (0, 0, 1))
    assert one == again != other
    chosen = np.random.default_rng(0).integers(0, 22, (1000, 22))
    slow = [np.sort(accuracy[row])[1:-1].mean() for row in chosen]
    np.testing.assert_allclose(one["trimmed_mean_interval"], np.percentile(slow, [2.5, 97.5]), rtol=1e-12)
    np.testing.assert_allclose(one["mean_interval"], np.percentile(accuracy[chosen].mean(1), [2.5, 97.5]), rtol=1e-12)


def answer_knowing(answers, dataset, who, correct):
    """Answers len(correct) pairs, rightly where it says so."""
    for second, wanted in enumerate(correct, start=1):
        shown = answers.upcoming(who)[0]
        (record, left), (_, right) = answers.photo(who, shown.left), answers.photo(who, shown.right)
        likes = dataset[record]["likes"]
        assert answers.answer(who, shown.key, "left" if (likes[left] > likes[right]) == wanted else "right", second)


@pytest.fixture
def scored(answers, dataset):
    """Four who finished, with 5, 3, 2 and 0 of 5 right, one who stopped after 2 and one who never began."""
    for name, correct in {"Ada": 5, "Bob": 3, "Cem": 2, "Dot": 0}.items():
        answer_knowing(answers, dataset, enter(answers, dataset, name), [True] * correct + [False] * (PAIRS - correct))
    answer_knowing(answers, dataset, enter(answers, dataset, "Eve"), [True, False])
    enter(answers, dataset, "Fay")
    return answers


def test_score_by_hand(scored, dataset):
    result = score(scored, dataset)
    people = [(person["name"], person["correct"], person["accuracy"]) for person in result["participants"]]
    assert people == [("Ada", 5, 1.0), ("Bob", 3, 0.6), ("Cem", 2, 0.4), ("Dot", 0, 0.0)]
    assert result["incomplete"] == [
        {"number": 5, "name": "Eve", "answers": 2},
        {"number": 6, "name": "Fay", "answers": 0},
    ]
    assert result["mean"] == result["accuracy"] == pytest.approx(0.5)
    assert result["trimmed_mean"] == pytest.approx(0.5)
    assert (result["answers"], result["pairs"], result["split"]) == (20, 5, "train")
    low, high = result["mean_interval"]
    assert 0 <= low < 0.5 < high <= 1
    assert sum("left out" in line for line in lines(result)) == 2


def test_unfinished_people_count_when_asked_for(scored, dataset):
    result = score(scored, dataset, incomplete=True)
    assert [person["name"] for person in result["participants"]] == ["Ada", "Bob", "Cem", "Dot", "Eve"]
    assert [person["name"] for person in result["incomplete"]] == ["Fay"]
    assert result["trimmed_mean"] == pytest.approx((0.6 + 0.4 + 0.5) / 3)
    assert result["answers"] == 22 and result["accuracy"] == pytest.approx(11 / 22)


def test_nobody_yet_is_no_error(answers, dataset):
    result = score(answers, dataset)
    assert result["participants"] == [] and result["mean"] is None and lines(result)


def test_score_command(scored, capsys, folder, tmp_path, dataset):
    assert command.main(["score", f"--db={scored.path}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == score(scored, dataset)
    assert command.main(["score", f"--db={scored.path}"]) == 0
    assert "without highest and lowest (the paper's): 50.00 %" in capsys.readouterr().out
    moved = tmp_path / "moved"
    shutil.copytree(folder / "data", moved)
    assert command.main(["score", f"--db={scored.path}", f"--data_dir={moved}", "--json"]) == 0


def test_another_data_set_is_not_scored(scored, capsys, folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder / "data", other)
    (index,) = other.glob("top3000/*/images-train.parquet")
    pl.read_parquet(index).with_columns(likes=pl.col("likes") + 1).write_parquet(index)
    checksums.write(index.parent)
    assert command.main(["score", f"--db={scored.path}", f"--data_dir={other}"]) == 1
    assert "not the data set that" in capsys.readouterr().err


def test_serve_asks_for_no_more_pairs_than_there_are(folder, capsys, tmp_path):
    assert command.main(["serve", f"--data_dir={folder / 'data'}", "--pairs=9999", f"--db={tmp_path / 'x'}"]) == 1
    assert "--pairs=9999" in capsys.readouterr().err and not (tmp_path / "x").exists()


@pytest.fixture
def serve(folder, tmp_path, capsys, monkeypatch):
    """serve(*flags): what the command says of a start that fails, or ends at once; and whether it made a study."""
    monkeypatch.setattr(TcpWSGIServer, "run", lambda server: None)

    def serve(*flags):
        db = tmp_path / "study.sqlite"
        ended = command.main(["serve", f"--data_dir={folder / 'data'}", "--split=train", f"--db={db}", *flags])
        shown = capsys.readouterr()
        assert ended == bool(shown.err) and ended != bool(shown.out)
        return shown.err or shown.out, db.exists()

    return serve


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--host=nosuch.invalid"], "--host nosuch.invalid: no such host"),
        (["--host=192.0.2.1"], "--host 192.0.2.1: not an address of this computer"),
        (["--port={taken}"], "--port {taken}: another program listens there"),
    ],
)
def test_a_failed_start_names_its_flag_and_leaves_no_study(serve, flags, said):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        flags, said = [flag.format(taken=taken) for flag in flags], said.format(taken=taken)
        told, there = serve("--pairs=3", *flags)
    assert said in told and not there
    told, there = serve("--pairs=2", "--port=0")  # nor stands in the way of another
    assert told.startswith("study: http://127.0.0.1:") and there
    assert "holds another study (pairs 2, not 3)" in serve("--pairs=3", "--port=0")[0]


@pytest.mark.parametrize("port", ["70000", "-5", "http"])
def test_a_port_that_is_none_is_refused(serve, port, capsys):
    with pytest.raises(SystemExit):
        serve(f"--port={port}")
    assert "argument --port: " in capsys.readouterr().err
