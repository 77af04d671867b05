"""Two commands that write one folder: the second ends at once, says who holds it, and touches nothing."""

from pathlib import Path

import pytest

from tests.helpers.commands import fail
from third_party_ports.files import lock

CONFIG = ["--config=full:tiny"]
WRITERS = {  # command: its flags, and the folder that it holds below `here`
    "demo-world": (["--out={here}/out"], "out.tmp"),
    "build": ([*CONFIG, "--raw={here}", "--features={here}", "--data_dir={here}/out"], "out/.top3000.building"),
    "demo": (["--out={here}/out", "--size=tiny"], "out"),
    "tables": (["--out={here}/out", "--size=tiny"], "out"),
    "protocols": (["--out={here}/out", "--size=tiny"], "out"),
    "choices": (["--out={here}/out", "--size=tiny"], "out"),
    "rank": (["--out={here}/out", "--demo"], "out"),
    "fetch": (["all", "--out={here}/out"], "out"),
    "train": ([*CONFIG, "--workdir={here}/out"], "out"),
    "fetch-images": (["{here}/list.csv", "--to={here}/out"], "out"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_second_writer_of_a_folder_is_told_who_holds_it(name, tmp_path):
    flags, held = WRITERS[name]
    folder: Path = tmp_path / held
    folder.mkdir(parents=True)
    (tmp_path / "list.csv").write_text("img_id,img_url\n1,http://127.0.0.1:9/a.jpg\n")
    with lock(folder):
        before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        said = fail(name, *(flag.format(here=tmp_path) for flag in flags)).stderr
        after = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert f"{folder}: another process (process id " in said and before == after
