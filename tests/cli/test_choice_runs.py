"""`python -m ipa_jax.choices`: from nothing to the page, and again from the records alone."""

import pytest

from tests.cli.commands import fail, succeed

pytestmark = pytest.mark.xdist_group("tables")

WORLD = ("--accounts=12", "--posts=40", "--size=tiny", "--seeds=0", "--only=carousel_all")


def test_choices_are_run_once_and_their_page_is_made_again_from_records(tmp_path):
    page = tmp_path / "choices.md"
    flags = (*WORLD, f"--records={tmp_path}/records", f"--page={page}", f"--others={tmp_path}/none")
    first = succeed("ipa_jax.choices", f"--out={tmp_path}/a", *flags)
    assert "2 runs, 0 of them done" in first.stdout and "2 of 2 runs done" in first.stdout
    text = page.read_text()
    assert f"`python -m ipa_jax.choices --out={tmp_path}/a" in text
    assert "| not run |" in text and "posts by the mean z of their images" in text
    again = succeed("ipa_jax.choices", f"--out={tmp_path}/a", *flags)
    assert "2 runs, 2 of them done" in again.stdout and "$ python -m" not in again.stdout
    assert page.read_text() == text
    wrong = fail("ipa_jax.choices", f"--out={tmp_path}/a", *flags, "--only=k_11")
    assert "--only: k_11 is none of full, loss_ratio_log" in wrong.stderr
