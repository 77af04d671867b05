"""SIGKILL or SIGTERM at any moment, the same command again: the run ends as if nothing had happened."""

import json
import signal

from benchmarks import kill_resume
from benchmarks.kill_resume import Moment
from tests.helpers.commands import command, environment, train_flags


def test_a_killed_run_ends_like_an_undisturbed_one(trained, demo_world, tmp_path):
    killed = tmp_path / "killed"
    # Before any checkpoint, asked to stop; after the last step, while 10 is being saved; around evaluation and export.
    moments = [Moment(2, 0.0, signal.SIGTERM), Moment(11, 0.0), Moment(11, 0.3)]
    started = command("train", *train_flags("full", demo_world / "data", killed))
    kills = kill_resume.killed_run(started, killed, moments, environment())
    assert not any(kill.ended for kill in kills)
    assert kills[0].told <= kills[0].checkpoint < 11  # in the midst of the epoch: the step that it stopped at is saved
    assert kills[1].checkpoint in (kills[0].checkpoint, 5, 10)
    assert kill_resume.differences(trained, killed) == []
    lines = (killed / "metrics.jsonl").read_text().splitlines()
    assert sum("hparams" in json.loads(line) for line in lines) == 1


def test_moments_cover_the_run():
    moments = kill_resume.draw_moments(10, 99, 5.0, seed=3)
    assert [m.step // 10 for m in moments] == list(range(10))
    assert all(0 <= m.delay < 5 for m in moments)
    assert moments != kill_resume.draw_moments(10, 99, 5.0, seed=4)
