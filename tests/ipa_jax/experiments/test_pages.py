"""Parts of a page between their markers, and the command that a page prints."""

import pytest

from ipa_jax.experiments import flags, pages


def test_a_part_is_filled_between_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- leaks -->\nold\n<!-- /leaks -->\nbelow\n")
    pages.require(page, "leaks")
    pages.fill(page, "leaks", "ipa-jax protocols", ["| a |"])
    part = "<!-- leaks -->\n\n```sh\nipa-jax protocols\n```\n\n| a |\n\n<!-- /leaks -->\n"
    assert page.read_text() == f"above\n{part}below\n"
    with pytest.raises(ValueError, match="needs one line <!-- protocols -->"):
        pages.require(page, "protocols")
    pages.require(tmp_path / "new/page.md", "leaks")
    pages.fill(tmp_path / "new/page.md", "leaks", "ipa-jax protocols", ["| a |"])
    assert (tmp_path / "new/page.md").read_text() == part


def test_the_command_of_a_page_is_the_one_that_was_run():
    words = ["--out=o", "--only=past_only", "--overwrite", "--plants"]
    assert flags.command_line("protocols", words) == "python -m ipa_jax protocols --out=o --only=past_only --plants"
