"""benchmarks.__main__: every script of the folder is in its list, and what becomes of each is told."""

import subprocess
import sys

import pytest

from benchmarks import __main__ as runner
from benchmarks import packing, start
from benchmarks.timing import Ran
from tests.helpers.paths import ROOT

LIBRARIES = {"timing", "worlds", "port_rows", "port_timing"}  # what the scripts share


def test_the_list_holds_every_script():
    listed = runner.benchmarks()
    named = {file.stem for file in (ROOT / "benchmarks").glob("*.py")} - {"__main__"}
    assert {"start", "rank", "ports", "checkpoints"} <= listed.keys() <= named
    assert LIBRARIES.isdisjoint(listed)
    for name in named - listed.keys():
        assert "argparse" not in (ROOT / "benchmarks" / f"{name}.py").read_text(), f"{name} has no main"


def test_every_script_says_what_it_measures_and_has_a_short_form():
    for one in runner.benchmarks().values():
        assert one.text.endswith((".", ":")) or "." in one.text, one
        assert '"--short"' in (ROOT / "benchmarks" / f"{one.name}.py").read_text(), one


def test_what_a_reference_needs_is_known():
    listed = runner.benchmarks()
    assert "torch" in listed["ports"].reference and "torch" in listed["rank"].reference
    assert not listed["packing"].reference


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """A folder with two scripts: one that works and one that fails."""
    (tmp_path / "works.py").write_text('"""Works."""\nif __name__ == "__main__":\n    print("worked")\n')
    (tmp_path / "fails.py").write_text('"""Fails."""\nif __name__ == "__main__":\n    raise SystemExit(3)\n')
    (tmp_path / "lacks.py").write_text('"""Lacks."""\nNEEDS = ("no_such",)\nif __name__ == "__main__":\n    pass\n')
    (tmp_path / "shared.py").write_text('"""No script."""\n')
    monkeypatch.setattr(runner, "FOLDER", tmp_path)

    def program(*arguments: str) -> Ran:
        file = tmp_path / f"{arguments[1].rpartition('.')[2]}.py"
        done = subprocess.run([sys.executable, file, *arguments[2:]], capture_output=True)
        return Ran(done.returncode, 1.0, 0.5)

    monkeypatch.setattr(runner, "program", program)


def test_a_failure_does_not_stop_the_others(scripts, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    assert runner.main() == 1
    told = capsys.readouterr().out
    rows = {line.split()[0]: line for line in told.splitlines()[-3:]}
    assert rows.keys() == {"fails", "lacks", "works"}
    assert "FAILED with status 3" in rows["fails"] and rows["works"].endswith("done")
    assert "not measured: needs no_such" in rows["lacks"]
    monkeypatch.setattr(sys, "argv", ["benchmarks", "works", "lacks"])
    assert runner.main() == 0


def test_a_benchmark_runs(capsys, monkeypatch):
    monkeypatch.setattr(packing, "GROUPS", 40)
    monkeypatch.setattr(packing, "IMAGES", 200)
    monkeypatch.setattr(packing, "PAIRS", 180)
    monkeypatch.setattr(sys, "argv", ["packing", "--short"])
    packing.main()
    assert "180 pairs of 2 images against 200 images: 1.80x" in capsys.readouterr().out


def test_the_start_of_one_command(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["start", "--short", "inspect"])
    start.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[3:-1]] == [
        "python, nothing",
        "python, numpy",
        "ipa-jax",
        "ipa-jax inspect",
    ]
    assert lines[-1].startswith("under 1.0 s each")
