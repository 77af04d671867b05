"""The checklist: each planted leak fails the lines named here and no other; data sets without a leak fail none."""

import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from configs import full
from data_builders.demo_world.account import Arguments
from data_builders.demo_world.parameters import Parameters
from data_builders.demo_world.write import write_world
from data_builders.top3000.build import build
from data_builders.top3000.steps import PAPER
from ipa_jax.leakage import __main__, checklist, checks, leaks, planted_build, recompute, stored_data
from ipa_jax.leakage.checks import FAIL, NOT_APPLICABLE, NOTE, PASS
from ipa_jax.metrics import score_files
from tests.helpers import tiny_world
from tests.helpers.built import build_quietly, config
from third_party_ports import seals

TEMPORAL = "3.1"
FAILING = {  # plant: lines that fail
    "no_test": {"1.1", "3.3"},  # the copies are not where their hash puts them
    "preprocessing": {"1.2", "2"},  # means over the whole account hold the query's likes too
    "feature_selection": {"1.3", "3.3"},
    "own_group": {"2"},
    "temporal": {"3.1"},
    "sibling": {"3.2"},
    "sampling": {"3.3"},
}
HONEST = {
    "group": ({}, set()),
    "account": ({"split": {"by": "account", "seed": 2}}, set()),
    "past": ({"memory": {"past_only": True}}, set()),
    "all images": ({"posts": {"carousel": "all"}}, set()),
    "others alone in the mean": ({"memory": {"mean_includes_retrieved": False}}, set()),
    "newest posts alone": ({"memory": {"max_posts": 3, "past_only": True}}, set()),
    "filled from others": ({"memory": {"max_posts": 2, "fallback": "cross_account", "past_only": True}}, set()),
    "exclude post": ({"memory": {"exclude": "post"}}, {"2"}),
    "exclude none": ({"memory": {"exclude": "none"}}, {"2"}),
    "exclude none, past": ({"memory": {"exclude": "none", "past_only": True}}, set()),  # by its lag
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaks")
    tiny_world.write(folder, accounts=12, posts=50, side=16, carousels=True)
    return folder


@pytest.fixture(scope="module")
def honest(world, tmp_path_factory):
    """A data set built as the paper does; tests read it and change what they read."""
    return build_quietly(world, tmp_path_factory.mktemp("honest"))


def lines_of(folder):
    data = stored_data.read(folder)
    return {line.title.split()[0]: line for line in checks.check(data, recompute.explain(data))}


def failing(lines):
    return {name for name, line in lines.items() if line.verdict == FAIL}


@pytest.mark.parametrize("name", HONEST)
def test_honest_data_sets_fail_no_line(world, tmp_path, name):
    """Except with `exclude = post` or `none`, where a train query sees its own likes: that is the leak itself."""
    changes, expected = HONEST[name]
    lines = lines_of(build_quietly(world, tmp_path, config=config(**changes)))
    assert failing(lines) == expected, [line.found for line in lines.values()]
    promised = changes.get("memory", {}).get("past_only", False)
    assert lines[TEMPORAL].verdict == (PASS if promised else NOT_APPLICABLE)
    assert len(lines) == 8


@pytest.mark.parametrize("name", planted_build.LEAKS)
def test_a_leak_planted_in_the_build_is_caught(world, tmp_path, name):
    if name == "sampling":  # many groups, so that the missing ones show
        world = tmp_path
        tiny_world.write(world, accounts=30, posts=60, side=8)
    changes = {"memory": {"past_only": True}} if name == "temporal" else {}
    steps = leaks.STEPS[name]()
    folder = build_quietly(world, tmp_path / "data", config=config(**changes), steps=steps)
    lines = lines_of(folder)
    assert failing(lines) == FAILING[name], [line.found for line in lines.values()]


def test_a_temporal_leak_needs_a_promise(world, tmp_path):
    with pytest.raises(ValueError, match=r"--config\.data\.memory\.past_only=True"):
        build_quietly(world, tmp_path, steps=leaks.temporal())


def build_drawn(out, plant, leaky=False, by="group"):
    """A planted demo world, and its data set."""
    write_world(out, Arguments(10, 40, 32, 8, 0, plant), Parameters(no_features=0), processes=1)
    chosen = full.get_config("tiny")
    chosen.data.depth.side = 8
    chosen.data.split.update({"by": by, "seed": 4 if by == "account" else 0})  # of which no split is empty
    steps = leaks.STEPS[plant]() if leaky else PAPER
    with contextlib.redirect_stdout(io.StringIO()):
        data_dir = out / ("leaky" if leaky else "data")
        return build(chosen.data.to_dict(), out / "raw", out / "features", data_dir, steps=steps)


@pytest.mark.parametrize("by", ["group", "account"])
def test_photos_posted_again_are_caught(tmp_path, by):
    """They are in train, or in the memory bank of an account that is not in train."""
    lines = lines_of(build_drawn(tmp_path / "world", "duplicates", by=by))
    assert failing(lines) == {"1.4"}
    assert not lines["1.4"].found.startswith("0 of ")


def test_siblings_are_caught_where_the_split_parts_them(tmp_path):
    """Rows of one post in one group are no leak; in two groups they are one."""
    assert not failing(lines_of(build_drawn(tmp_path / "world", "sibling")))
    assert failing(lines_of(build_drawn(tmp_path / "world", "sibling", leaky=True))) == {"3.2"}


def test_local_scores_of_no_rule_are_seen(honest):
    """The last bit of one stored number of one image is changed."""
    data = stored_data.read(honest)
    explained = recompute.explain(data)
    assert (explained == 0).all()
    row = int(np.flatnonzero(data.mask[:, 0])[-1])
    data.local[row, 0] = np.nextafter(data.local[row, 0], 0)
    again = recompute.explain(data)
    assert np.flatnonzero(again == recompute.UNEXPLAINED).tolist() == [row]
    assert failing({line.title.split()[0]: line for line in checks.check(data, again)}) == {"1.2", "2"}


def test_slots_of_other_accounts_are_checked_too(world, tmp_path):
    chosen = config(memory={"max_posts": 2, "fallback": "cross_account"})
    data = stored_data.read(build_quietly(world, tmp_path, config=chosen))
    assert (recompute.explain(data) == 0).all()
    row = int(np.flatnonzero(data.mask[:, -1])[0])
    data.local[row, -1] = np.nextafter(data.local[row, -1], 0)
    assert np.flatnonzero(recompute.explain(data) == recompute.UNEXPLAINED).tolist() == [row]


def test_a_fitted_number_of_other_posts_is_seen(honest):
    data = stored_data.read(honest)
    data.info["statistics"]["mean_log_likes"] += 1e-6
    assert checks.preprocessing(data, np.zeros(len(data.images), np.int8)).verdict == FAIL


def test_the_command_tells_by_its_status(world, honest, tmp_path, capsys):
    assert __main__.main(["--data_dir", str(honest), "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert len(lines) > 12 and {line["verdict"] for line in lines} == {"pass", "note", "not applicable"}
    leak = build_quietly(world, tmp_path / "leak", config=config(memory={"exclude": "none"}))
    assert __main__.main(["--data_dir", str(leak)]) == 1
    assert "illegitimate" in capsys.readouterr().out
    assert __main__.main(["--data_dir", str(tmp_path / "nowhere")]) == 2
    assert "no data set" in capsys.readouterr().err
    assert __main__.main(["--data_dir", str(honest), "--workdir", str(tmp_path)]) == 2
    assert "--workdir must name the folder of a finished run" in capsys.readouterr().err


def test_the_shuffled_control():
    for accuracies, verdict in (((0.47, 0.5, 0.54), PASS), ((0.61, 0.63, 0.62), FAIL), ((0.62,), NOTE)):
        assert checklist.shuffled_control(accuracies).verdict == verdict
    assert checklist.shuffled_control([]).verdict == NOT_APPLICABLE


def test_runs_on_shuffled_likes_are_what_they_are_taken_for(tmp_path):
    def run(name, shuffled, image="i"):
        (tmp_path / name).mkdir()
        data = {"shuffle_likes": shuffled, "split": {"seed": 0}, "pairs": {"min_ratio": 2.0}}
        seals.write_json(tmp_path / name / "config.json", {"data": data, "model": {}})
        images = {"account": ["a", "a"], "record": [0, 0], "image_id": [image, "j"], "post_id": ["p", "q"]}
        scores = pl.DataFrame(images | {"likes": [9, 1], "z": [1.0, 0.0]})
        score_files.save(scores, tmp_path / name / "scores-test.parquet")
        return tmp_path / name

    one, again, other = run("one", True), run("again", True), run("other", True, "k")
    assert checklist.shuffled_accuracies([one, other]) == [1.0, 1.0]
    with pytest.raises(ValueError, match=r"--shuffled: .*one and .*again are of one shuffle"):
        checklist.shuffled_accuracies([one, again])
    with pytest.raises(ValueError, match="shuffle_likes"):
        checklist.shuffled_accuracies([run("honest", False)])
    with pytest.raises(ValueError, match=r"--shuffled: .*nowhere is not the folder of a finished run"):
        checklist.shuffled_accuracies([tmp_path / "nowhere"])


def test_groups_within_each_others_days(honest):
    data = stored_data.read(honest)
    assert checks.interleaved(data) == 0
    test = data.images.filter(pl.col("split") == "test").row(0, named=True)
    mine = (pl.col("split") == "test") & (pl.col("record") == test["record"])
    account = data.images.filter((pl.col("account") == test["account"]) & (pl.col("split") == "train"))
    middle = int(account["time"].min()) + 1  # behind the first post of some train group
    wide = data.images.with_columns(time=pl.when(mine & (pl.col("position") == 0)).then(middle).otherwise("time"))
    assert checks.interleaved(replace(data, images=wide)) >= 1
