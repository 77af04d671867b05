"""`ipa-jax protocols` on a small world: the paper's protocol and a planted leak."""

import json

from tests.helpers.commands import fail, succeed_here

WORLD = ("--seeds=0", "--accounts=20", "--posts=40", "--size=tiny")


def test_small_tables_are_made_and_kept(study, tmp_path):
    page, leaks = tmp_path / "protocols.md", tmp_path / "evaluation.md"
    page.write_text("<!-- protocols -->\n<!-- /protocols -->\n")
    leaks.write_text("<!-- leaks -->\n<!-- /leaks -->\n")
    folders = [f"--out={study}", f"--records={tmp_path}/records"]
    done = succeed_here("protocols", *folders, *WORLD, f"--page={leaks}", "--only=own_group", "--plants")
    assert "2 runs: 0 done, 2 to do" in done.stdout
    assert "`own_group`" in leaks.read_text() and "fails: 2 (1 of 1 worlds) |" in leaks.read_text()
    records = {file.stem: json.loads(file.read_text()) for file in (tmp_path / "records").iterdir()}
    assert set(records) == {"full-seed0", "plant_own_group-seed0"}
    verdicts = {name: [v for _, v in record["extra"]["checklist"][:8]] for name, record in records.items()}
    assert "fail" not in verdicts["full-seed0"]
    assert verdicts["plant_own_group-seed0"].count("fail") == 1

    done = succeed_here("protocols", *folders, *WORLD, f"--page={page}", "--only=full")
    assert "1 runs: 1 done, 0 to do" in done.stdout
    table = page.read_text()
    assert "python -m ipa_jax protocols" in table and "--accounts=20" in table
    assert "**paper**" in table and "by perceptual hash" in table
    assert "past only" not in table and "test images: 0 by hash" in table


def test_a_page_without_its_markers_is_named_before_anything_runs(tmp_path):
    (tmp_path / "page.md").write_text("no markers")
    done = fail("protocols", f"--out={tmp_path}/out", f"--page={tmp_path}/page.md")
    assert "needs one line <!-- protocols -->" in done.stderr and not any((tmp_path / "out").iterdir())
