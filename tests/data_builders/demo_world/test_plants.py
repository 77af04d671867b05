"""Plants that act on what is posted: photos posted again, images of a carousel as posts of their own."""

import json

import numpy as np
import polars as pl
import pytest

from data_builders.demo_world import plants
from data_builders.demo_world.__main__ import main
from data_builders.demo_world.account import Arguments
from data_builders.demo_world.likes import DAY, draw_account
from data_builders.demo_world.parameters import Parameters
from data_builders.demo_world.write import WorldError, write_world
from data_builders.top3000.probe import probe_bytes
from ipa_jax.leakage import planted_build

SIZES = (3, 30, 48, 8, 0)


def draw(plant, **parameters):
    chosen = plants.parameters_of(plant, Parameters(**parameters))
    account = draw_account(0, 1, 60, 2, chosen)
    return account.posts, plants.posts_of(plant, account.posts, 62, 0, 1, chosen)


def test_no_plant_changes_nothing():
    posts, planted = draw(None)
    assert planted is posts


def test_photos_posted_again():
    posts, planted = draw("duplicates")
    again = planted[len(posts) :]
    assert planted[: len(posts)] == posts
    assert 0.1 * len(posts) < len(again) < 0.5 * len(posts)
    assert len({post.number for post in planted}) == len(planted) and min(post.number for post in again) == 62
    by_number = {post.number: post for post in posts}
    for post in again:
        first = by_number[post.drawn_as]
        days = (post.time - first.time) / DAY
        assert plants.REPOST_DAYS[0] - 1 < days < plants.REPOST_DAYS[1] + 1
        assert (post.kind, post.layer, post.universal, post.noise) == (
            first.kind,
            first.layer,
            first.universal,
            first.noise,
        )
        assert post.followers == pytest.approx(first.followers + 0.002 * days, abs=1e-4)


def test_rows_of_one_post():
    posts, planted = draw("sibling")
    assert all(post.images == 1 for post in planted)
    assert len(planted) == sum(post.images for post in posts) > len(posts)
    assert len({post.number for post in planted}) == len(planted)
    times, counts = np.unique([post.time for post in planted], return_counts=True)
    likes = {time: {post.likes for post in planted if post.time == time} for time in times}
    assert all(len(of_post) == 1 for of_post in likes.values()) and counts.max() > 1


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    out = tmp_path_factory.mktemp("planted") / "world"
    write_world(out, Arguments(*SIZES, "duplicates"), Parameters(no_features=0), processes=1)
    return out


def test_a_photo_posted_again_looks_alike_in_another_file(world):
    truth = pl.read_parquet(world / "truth.parquet")
    terms = ["account", "universal", "taste", "depth", "noise"]
    twins = truth.filter(pl.len().over("account", "post_id") == 1).group_by(terms).agg("image_id")
    twins = twins.filter(pl.col("image_id").list.len() == 2)
    assert len(twins) > 10
    bits = []
    for account, (one, other) in twins.select("account", "image_id").iter_rows():
        files = [(world / "raw" / "image" / f"{account}-{image}.jpg").read_bytes() for image in (one, other)]
        assert files[0] != files[1]
        hashes = [probe_bytes(file)[0] for file in files]
        bits.append((hashes[0] ^ hashes[1]).bit_count())
    assert np.mean(np.array(bits) <= 4) > 0.9


def test_a_world_of_another_plant_is_refused(world):
    assert json.loads((world / "world.json").read_text())["arguments"]["plant"] == "duplicates"
    for plant in (None, "sibling"):
        with pytest.raises(WorldError, match=r"arguments\.plant"):
            write_world(world, Arguments(*SIZES, plant), Parameters(no_features=0), processes=1)
    with pytest.raises(WorldError, match=r"--plant.*typo.*no_test, "):
        write_world(world, Arguments(*SIZES, "typo"), Parameters(no_features=0), processes=1)


def test_the_command_names_what_builds_the_leak(tmp_path, capsys):
    sizes = ["--accounts", "1", "--posts", "2", "--side", "16", "--processes", "1"]
    assert main([f"--out={tmp_path}/a", *sizes, "--plant", "own_group"]) == 0
    assert "ipa-jax planted-build --plant=own_group --config=" in capsys.readouterr().out
    assert main([f"--out={tmp_path}/b", *sizes, "--plant", "duplicates"]) == 0
    assert "ipa-jax build --config=" in capsys.readouterr().out


def test_eight_types_one_plant_each():
    assert len({plant.kind for plant in plants.PLANTS.values()}) == len(plants.PLANTS) == 8
    assert set(planted_build.LEAKS) == set(plants.PLANTS) - {"duplicates"}
    assert all(plant.posts or plant.build for plant in plants.PLANTS.values())
