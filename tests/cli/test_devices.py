"""One device, and two processes with two each: the same losses, the same model.

Four devices of one process are in tests/ipa_jax/training/test_steps.py, and score an export in test_evaluate.py.
"""

import json
import socket
import subprocess

import numpy as np

from benchmarks.kill_resume import logged
from tests.helpers.commands import ROOT, command, environment, run, succeed_here, train_flags

MORE = ("--config.batch.packs=4", "--config.train.epochs=2", "--config.train.eval_every=4",
        "--config.train.checkpoint_every=100")  # fmt: skip


def losses(workdir):
    return [row["train/loss"] for _, row in logged(workdir) if "train/loss" in row]


def test_devices_and_processes_do_not_change_the_run(demo_world, tmp_path):
    data = demo_world / "data"
    succeed_here("train", *train_flags("full", data, tmp_path / "one", *MORE))

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    pair = [
        subprocess.Popen(
            command("train", *train_flags("full", data, tmp_path / "pair", *MORE), "--processes=2",
                    f"--coordinator=127.0.0.1:{port}", f"--process={process}"),
            cwd=ROOT, env=environment(devices=2), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for process in range(2)
    ]  # fmt: skip
    try:
        printed = [process.communicate(timeout=400)[0] for process in pair]
    finally:
        for process in pair:
            process.kill()
    assert [process.returncode for process in pair] == [0, 0], printed

    expected = losses(tmp_path / "one")
    assert len(expected) == 6
    np.testing.assert_allclose(losses(tmp_path / "pair"), expected, rtol=1e-4)
    one, two = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "pair"))
    assert two["best_step"] == one["best_step"]
    assert abs(two["test"]["plcc"] - one["test"]["plcc"]) < 1e-2
    # The first process alone writes and evaluates for all: one file of each kind, each row once.
    assert len(list((tmp_path / "pair").glob("events*"))) == 1
    assert [step for step, row in logged(tmp_path / "pair") if "train/loss" in row] == [1, 2, 3, 4, 5, 6]
    assert (tmp_path / "pair/export/model.safetensors").is_file()
    assert "test pairwise accuracy" in printed[1]


def test_devices_that_do_not_divide_a_step_are_refused(demo_world, tmp_path):
    done = run("train", *train_flags("full", demo_world / "data", tmp_path / "w"), devices=4)
    assert done.returncode == 1 and "config.batch.packs is 1" in done.stderr and "multiple of 4" in done.stderr
