"""`ipa-jax demo`: from nothing to results and a report; what exists is kept."""

import json
import shutil

import pytest

from tests.helpers.commands import succeed_here

FIGURES = {"accuracy", "accuracy_interval", "plcc", "srcc", "ratio_mse", "pairs", "groups"}
BASELINES = {"bayes", "universal_only", "retrieval_only", "pixel_knn", "chance"}


SIZE = ("--accounts=20", "--posts=40", "--size=tiny")


@pytest.fixture(scope="module")
def demo(demo_world, trained, tmp_path_factory):
    """--out of a demo of two models, named as one of several seeds would name it, and what the command printed.

    The world, its data set and the full model are there already; the other world, of a test, is made from nothing.
    """
    out = tmp_path_factory.mktemp("demo") / "seed0"
    out.mkdir()
    (out / "world").symlink_to(demo_world)
    (out / "data").symlink_to(demo_world / "data")
    shutil.copytree(trained, out / "full", ignore=shutil.ignore_patterns("checkpoints"))
    return out, succeed_here("demo", f"--out={out}", *SIZE, "--configs=basic,full").stdout


def test_the_demo_makes_results_and_a_report(demo):
    out, printed = demo
    results = json.loads((out / "results.json").read_text())
    assert results.keys() >= {"runs", "yardsticks", "seed", "seconds"}
    assert results["runs"].keys() == {"basic", "full"} and results["seed"] == 0
    assert results["yardsticks"].keys() >= BASELINES
    baselines = results["yardstick_figures"]
    assert {name: figures["accuracy"] for name, figures in baselines.items()} == results["yardsticks"]
    for figures in (*(run["test"] for run in results["runs"].values()), *baselines.values()):
        assert figures.keys() >= FIGURES
        assert figures["accuracy_interval"][0] <= figures["accuracy"] <= figures["accuracy_interval"][1]
        assert figures["pairs"] == baselines["chance"]["pairs"]
    for name in ("basic", "full"):
        stored = json.loads((out / name / "results.json").read_text())["test"]
        assert results["runs"][name]["test"]["accuracy"] == stored["accuracy"]
    page = (out / "report.html").read_text()
    assert "<img" in page and "https://" not in page.replace("https://www.w3.org", "")
    assert "gap to Bayes closed" in printed and str(out / "report.html") in printed
    assert "2 of 2 models done, 0 left" in printed
    assert page.index(">full<") < page.index(">basic<")  # the full model leads
    assert "\n$ python -m ipa_jax train --config=full:tiny" in printed


def test_worlds_of_several_seeds_are_pooled_and_one_that_exists_is_kept(demo):
    out = demo[0].parent
    kept = [demo[0] / name for name in ("world/world.json", "data/top3000", "basic/results.json")]
    before = [path.stat().st_mtime_ns for path in kept]
    succeed_here("demo", f"--out={out}", *SIZE, "--configs=basic", "--seeds=0,1")
    assert [path.stat().st_mtime_ns for path in kept] == before
    results = json.loads((out / "results.json").read_text())
    tests = [json.loads((out / f"seed{seed}/basic/results.json").read_text()) for seed in (0, 1)]
    assert results["seed"] == [0, 1] and [test["seed"] for test in tests] == [0, 1]
    pooled = results["runs"]["basic"]["test"]
    for count in ("pairs", "groups"):
        assert pooled[count] == sum(test["test"][count] for test in tests)
    right = sum(test["test"]["accuracy"] * test["test"]["pairs"] for test in tests)
    assert pooled["accuracy"] == pytest.approx(right / pooled["pairs"])
    assert "| **basic** |" in (out / "table.md").read_text()
