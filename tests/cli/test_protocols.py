"""`python -m ipa_jax protocols` on a small world: the paper's protocol and a planted leak, made once."""

import json

import pytest

from tests.helpers.commands import fail, succeed

pytestmark = pytest.mark.xdist_group("devices")


def test_a_small_table_is_made_and_kept(tmp_path):
    page, evaluation = tmp_path / "protocols.md", tmp_path / "evaluation.md"
    page.write_text("<!-- protocols -->\n<!-- /protocols -->\n")
    evaluation.write_text("<!-- leaks -->\n<!-- /leaks -->\n")
    arguments = [
        f"--out={tmp_path}/out",
        f"--records={tmp_path}/records",
        f"--page={page}",
        f"--evaluation={evaluation}",
        *("--seeds=0", "--accounts=16", "--posts=24", "--size=tiny", "--only=own_group", "--plants"),
    ]
    done = succeed("protocols", *arguments)
    assert "2 runs, 0 of them done" in done.stdout
    table, leaks = page.read_text(), evaluation.read_text()
    assert "python -m ipa_jax protocols" in table and "--accounts=16" in table
    assert "**paper**" in table and "by perceptual hash" in table
    assert "past only" not in table and "test images: 0 by hash" in table
    assert "`own_group`" in leaks and "fails: 2 (1 of 1 worlds) |" in leaks
    records = {file.stem: json.loads(file.read_text()) for file in (tmp_path / "records").iterdir()}
    assert set(records) == {"full-seed0", "plant_own_group-seed0"}
    verdicts = {name: [v for _, v in record["extra"]["checklist"][:8]] for name, record in records.items()}
    assert "fail" not in verdicts["full-seed0"]
    assert verdicts["plant_own_group-seed0"].count("fail") == 1
    again = succeed("protocols", *arguments)
    assert "2 runs, 2 of them done" in again.stdout and page.read_text() == table


def test_a_page_without_its_markers_is_named_before_anything_runs(tmp_path):
    (tmp_path / "page.md").write_text("no markers")
    done = fail("protocols", f"--out={tmp_path}/out", f"--page={tmp_path}/page.md")
    assert "needs one line <!-- protocols -->" in done.stderr and not (tmp_path / "out").exists()
