"""The paper's figures of a run: whole files, the same bytes each time, and photos without names."""

import pytest
from PIL import Image

from ipa_jax.metrics import score_files
from ipa_jax.training import workdir as workdirs
from tests.helpers.commands import fail, succeed_here
from third_party_ports import seals

NAMES = [f"figure{number}.{suffix}" for number in (1, 4, 5) for suffix in ("png", "svg")]


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("figures")
    succeed_here("figures", f"--workdir={trained}", f"--out={out}")
    return out


def test_every_figure_is_written(made):
    assert sorted(file.name for file in made.iterdir()) == sorted([*NAMES, "figures.json"])
    for number, width in ((1, 2100), (4, 2100), (5, 999)):
        with Image.open(made / f"figure{number}.png") as image:
            assert image.width == width and len(image.convert("L").resize((40, 40)).getcolors()) > 5
        text = (made / f"figure{number}.svg").read_text()
        assert "<svg" in text and "<dc:date>" not in text and "matplotlib.org" not in text.split("-->")[-1]


def test_what_is_shown_are_photos_of_the_run(made, trained):
    shown = seals.read_json(made / "figures.json", workdirs.WorkdirError, "")
    scores = workdirs.read_scores(trained, "test")
    pairs = shown["figures"]["figure1"]["pairs"]
    assert len(pairs) == 4 and len({pair[0]["account"] for pair in pairs}) == 4
    for more, fewer in pairs:
        assert more["account"] == fewer["account"] and more["likes"] > 2 * fewer["likes"]
        for side in (more, fewer):
            assert scores.filter(account=side["account"], image_id=side["image_id"])["z"].item() == side["z"]
    for query in shown["figures"]["figure4"]["queries"]:
        similar = [found["similarity"] for found in query["retrieved"]]
        assert 0 < len(similar) <= 5 and similar == sorted(similar, reverse=True)
        assert {found["account"] for found in query["retrieved"]} == {query["query"]["account"]}
    assert shown["figures"]["figure5"]["images"] == len(scores)
    for file in made.glob("*.svg"):
        assert not [name for name in scores["account"].unique() if name in file.read_text()]


def test_the_same_run_gives_the_same_bytes_and_another_seed_other_photos(made, trained, tmp_path):
    succeed_here("figures", f"--workdir={trained}", f"--out={tmp_path}/again", "--only=4,5")
    for name in NAMES[2:]:
        assert (tmp_path / "again" / name).read_bytes() == (made / name).read_bytes()
    assert not (tmp_path / "again" / "figure1.png").exists()
    succeed_here("figures", f"--workdir={trained}", f"--out={tmp_path}/other", "--only=1", "--seed=1",
                 "--split=validation")  # fmt: skip
    assert (tmp_path / "other" / "figure1.png").read_bytes() != (made / "figure1.png").read_bytes()


def test_wrong_input_is_named(trained, tmp_path):
    wrong = fail("figures", f"--workdir={trained}", "--only=2", f"--out={tmp_path}")
    assert wrong.returncode == 2 and "the figures are 1, 4 and 5" in wrong.stderr
    assert "--workdir" in fail("figures", f"--workdir={tmp_path}/no", f"--out={tmp_path}").stderr
    empty = fail("figures", f"--workdir={tmp_path}", f"--out={tmp_path}/out").stderr
    assert "scores-test.parquet is missing" in empty
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_bytes((trained / "config.json").read_bytes())
    score_files.save(workdirs.read_scores(trained, "validation"), run / "scores-test.parquet")
    assert "are not the" in fail("figures", f"--workdir={run}", f"--out={tmp_path}/out").stderr
    assert not list((tmp_path / "out").glob("figure*"))
