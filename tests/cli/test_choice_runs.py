"""`ipa-jax choices`: from a world to the page, and again from the records alone."""

from data_builders.dataset import GroupDataset
from tests.helpers.commands import fail, succeed, succeed_here

SIZE = ("--posts=40", "--size=tiny", "--seeds=0")


def test_choices_are_run_once_and_their_page_is_made_again_from_records(study, tmp_path):
    page = tmp_path / "choices.md"
    flags = (f"--out={study}", "--accounts=20", *SIZE, f"--records={tmp_path}/records", f"--page={page}",
             f"--others={tmp_path}/none", "--only=carousel_all")  # fmt: skip
    first = succeed("choices", *flags)
    assert "2 runs: 0 done, 2 to do" in first.stdout and "2 of 2 runs done" in first.stdout
    text = page.read_text()
    assert f"python -m ipa_jax choices --out={study}" in text
    assert "| not run |" in text and "posts by the mean z of their images" in text
    again = succeed_here("choices", *flags)
    assert "2 runs: 2 done, 0 to do" in again.stdout and "$ python -m" not in again.stdout
    assert page.read_text() == text
    wrong = fail("choices", *flags, "--only=k_11")
    assert "--only: no row k_11; the rows are full, loss_ratio_log" in wrong.stderr


def test_a_bank_that_is_empty_is_filled_from_other_accounts(tmp_path):
    """From nothing, by way of the config field, to a model that reads the flag."""
    flags = ("--accounts=12", *SIZE, "--only=bank_0_filled", "--short_histories", f"--others={tmp_path}/none")
    places = (f"--out={tmp_path}/a", f"--page={tmp_path}/page.md", f"--records={tmp_path}/records")
    done = succeed_here("choices", *flags, *places)
    assert "1 of 1 runs done" in done.stdout and "| 0 | not run |  | " in (tmp_path / "page.md").read_text()
    (data,) = (tmp_path / "a/data").iterdir()
    group = GroupDataset(data, "test")[0]
    assert group["foreign"].all() and group["mask"].all()
