"""Tests of files made to do harm: each ends soon, in little memory, with one sentence that names the file."""

import json
import subprocess
import sys

import pytest

from tests.helpers import hostile_checkpoints
from tests.helpers.paths import ROOT
from third_party_ports.checkpoints import files

HARMLESS = {"keys_of_one_hash"}  # its strange keys are left out
READ_ALL = """
import json, pathlib, re, sys, time
from third_party_ports.checkpoints import files
outcomes, status = {}, pathlib.Path("/proc/self/status")
for path in sys.argv[1:]:
    start = time.process_time()
    try:
        message = "read: " + ", ".join(files.read(path, ("model",)).tensors)
    except files.WeightsError as error:
        message = str(error)
    seconds = time.process_time() - start
    peak = int(re.search(r"VmHWM:\\s*(\\d+)", status.read_text())[1]) / 1024 if status.exists() else 0
    outcomes[path] = message, seconds, peak
print(json.dumps(outcomes))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, tuple[str, float, float]]:
    """By case: what was said, seconds, the process's peak memory so far in MiB."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = hostile_checkpoints.write_all(folder)
    line = [sys.executable, "-c", READ_ALL, *map(str, paths)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and not (ROOT / "CANARY").exists(), done.stderr
    return {path.split("/")[-1].removesuffix(".file"): tuple(found) for path, found in json.loads(done.stdout).items()}


@pytest.mark.parametrize("name", sorted(hostile_checkpoints.CASES))
def test_a_hostile_file_ends_with_a_sentence(outcomes, name):
    message, seconds, memory = outcomes[name]
    assert seconds < 2 and memory < 500, (seconds, memory)
    assert "\n" not in message and len(message) < 700
    if name in HARMLESS:
        assert message.startswith("read: ")
    else:
        assert f"{name}.file: " in message


def test_more_objects_than_any_network_has(tmp_path, monkeypatch):
    content = hostile_checkpoints.hdf5(lambda file: [file.create_group(f"g{n}") for n in range(30)])
    (tmp_path / "a.h5").write_bytes(content)
    monkeypatch.setattr("third_party_ports.checkpoints.hdf5_files.MOST_OBJECTS", 20)
    with pytest.raises(files.WeightsError, match="more than 20 objects"):
        files.read(tmp_path / "a.h5")
