"""The command para on a made-up PARA: its numbers, its page and figure, and what it says of wrong input."""

import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from configs import light, uhan
from ipa_jax import paper
from ipa_jax.applications.para import results
from ipa_jax.applications.para.ratings import ParaError, Photos, read_ratings, select
from ipa_jax.training.export import save_export
from tests.helpers import made_para, tiny_world
from tests.helpers.built import build_quietly
from tests.helpers.commands import fail, succeed_here
from tests.helpers.tiny_models import random_variables
from third_party_ports import seals

COUNTS = ("images", "agreed", "willing", "unwilling", "kept")


@pytest.fixture(scope="module")
def para(tmp_path_factory):
    return made_para.write(tmp_path_factory.mktemp("para") / "PARA", sessions=12, each=6)


@pytest.fixture(scope="module")
def flags(para, tmp_path_factory):
    """A light export that was never trained, and a data set that it could have been trained on."""
    folder, config = tmp_path_factory.mktemp("world"), light.get_config("tiny")
    tiny_world.write(folder, parts=("background", "caption"))
    build_quietly(folder, folder / "data", config=config)
    save_export(folder / "export", random_variables(config), config, {}, "card")
    return (f"--para={para}", f"--export={folder}/export", f"--data_dir={folder}/data", "--random_weights", "--bank=12")


@pytest.fixture(scope="module")
def made(flags, tmp_path_factory):
    """OUT of one run, and what it printed."""
    out = tmp_path_factory.mktemp("out")
    return out, succeed_here("para", *flags, f"--out={out}").stdout


def test_the_numbers(made, para):
    out, printed = made
    found = seals.read_json(out / "para.json", ParaError, "")
    photos, counts = select(read_ratings(para), para)
    assert {name: found["photos"][name] for name in COUNTS} == {name: counts[name] for name in COUNTS}
    assert found["photos"]["scored"] == len(photos) and found["paper"] == paper.PARA
    assert len(found["bank"]["names"]) == found["bank"]["images"] == 12 and 0 < found["bank"]["similarity"] <= 1
    assert found["reads"] == ["photo", "retrieval"] and found["random_weights"]
    lead = found["correlations"]["spearman"]
    assert lead["bank - empty"]["value"] == pytest.approx(lead["bank"]["value"] - lead["empty"]["value"])
    assert found["verdict"] in printed and "5,079" in printed and "31,220" in printed
    assert f"{counts['kept']:,} of which are above the 90th" in printed
    assert "background: background" in found["notes"][0]  # the data set's features come from other networks


def test_the_page_and_the_figure(made):
    out, _ = made
    found, text = seals.read_json(out / "para.json", ParaError, ""), (out / "para.html").read_text()
    assert (
        text.count("<svg") == 2 and found["verdict"].replace("95 %", "95\u00a0%") in text and "Random weights" in text
    )
    assert "<script" not in text and "://" not in text
    assert f"{found['correlations']['point_biserial']['bank']['value']:.3f}" in text
    ElementTree.parse(out / "figure6.svg")
    with Image.open(out / "figure6.png") as image:
        assert image.size == (2100, 690)
    assert sorted(file.name for file in out.iterdir()) == ["figure6.png", "figure6.svg", "para.html", "para.json"]


def test_wrong_input_is_named(para, flags, tmp_path):
    lost = shutil.copytree(para, tmp_path / "PARA", ignore=shutil.ignore_patterns(".ipa_jax"))
    photos, _ = select(read_ratings(lost), lost)
    for file in photos.files[:2]:
        file.unlink()
    name = "/".join(photos.files[0].parts[-2:])
    wrong = fail("para", f"--para={lost}", *flags[1:], f"--out={tmp_path}/out")
    assert wrong.returncode == 1 and f"2 of {len(photos)} photo files are missing" in wrong.stderr
    assert name in wrong.stderr and "--skip_missing" in wrong.stderr
    assert fail("para", f"--para={tmp_path}/no", *flags[1:], f"--out={tmp_path}/out").returncode == 2
    wrong = fail("para", f"--para={para}", f"--export={lost}", f"--out={tmp_path}/out")
    assert "--export names the export/ folder of a finished workdir" in wrong.stderr
    wrong = fail("para", *flags, f"--data_dir={lost}", f"--out={tmp_path}/out")
    assert "holds no data set" in wrong.stderr and "the data set that the export was trained on" in wrong.stderr
    assert not list((tmp_path / "out").iterdir())  # nothing half-written


def test_photos_that_cannot_be_used_are_left_out_by_name(para, flags, tmp_path):
    lost = shutil.copytree(para, tmp_path / "PARA")  # with the features that are there already
    photos, _ = select(read_ratings(lost), lost)
    photos.files[0].unlink()
    photos.files[1].write_bytes(b"no photo")
    succeed_here("para", f"--para={lost}", *flags[1:], "--skip_missing", f"--out={tmp_path}/out")
    found = seals.read_json(tmp_path / "out" / "para.json", ParaError, "")
    names = ["/".join(file.parts[-2:]) for file in photos.files]
    assert found["photos"]["left_out"]["missing"] == [names[0]]
    assert list(found["photos"]["left_out"]["unreadable"]) == [names[1]]
    assert found["photos"]["scored"] == len(photos) - 2
    assert any("missing" in note and names[0] in note for note in found["notes"])


def of(z, rates):
    rates = np.asarray(rates, float)
    photos = Photos([], np.arange(len(rates)) // 2, rates, rates > 3)
    return results.correlations(z, photos, draws=200)


def test_the_verdict_says_what_the_bank_changed():
    rng = np.random.default_rng(0)
    rates = rng.uniform(1, 5, 400)
    good, noise = rates + rng.normal(size=400), rng.normal(size=400)
    told = results.verdict(of({"bank": good, "empty": noise}, rates), True)
    assert told.startswith("Retrieval played a part: with the bank") and "The difference is +0." in told
    assert "The difference is -0." in results.verdict(of({"bank": noise, "empty": good}, rates), True)
    same = results.verdict(of({"bank": good + 0.01 * noise, "empty": good}, rates), True)
    assert same.startswith("Retrieval played no part, as both banks give the same correlation: with the bank")
    unclear = results.verdict(of({"bank": rng.normal(size=400), "empty": noise}, rates), True)
    assert unclear.startswith("Retrieval played no part that can be seen: with the bank")
    assert "this network does not read it" in results.verdict(of({"bank": good, "empty": good}, rates), False)
    few = of({"bank": good[:6], "empty": noise[:6]}, rates[:6])
    assert "cannot be said" in results.verdict(few, True)


def test_a_network_that_reads_more_than_photos_is_refused(para, tmp_path):
    save_export(tmp_path / "export", {"params": {"a": np.zeros(1)}}, uhan.get_config("tiny"), {}, "card")
    wrong = fail("para", f"--para={para}", f"--export={tmp_path}/export", f"--out={tmp_path}/out")
    assert "its network reads texts, account, which photos alone do not give" in wrong.stderr
    assert "configs/full.py, configs/light.py" in wrong.stderr
