"""The demo world: the same arguments give the same bytes, readers find what is planted, likes are the sum of terms."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from configs import full
from data_builders.demo_world import captions, truth
from data_builders.demo_world.__main__ import main
from data_builders.demo_world.account import Arguments
from data_builders.demo_world.defects import Defect, expected_skips, plan
from data_builders.demo_world.draw import BALLOON_DEPTHS, draw
from data_builders.demo_world.likes import LAYER_EFFECT, LOOKS, OBJECTS, POSES, SCENES, appeal, draw_account
from data_builders.demo_world.objects import BALLOON
from data_builders.demo_world.parameters import Parameters, parse
from data_builders.demo_world.write import WorldError, write_world
from data_builders.features.store import FeatureReader
from data_builders.groups import kept_groups
from data_builders.posts import post as posts
from data_builders.posts.read import read_posts
from data_builders.retrieval.similarity import similarity
from data_builders.top3000 import probe
from third_party_ports.files import lock

ARGUMENTS = Arguments(accounts=9, posts=40, side=32, depth_side=32, seed=3)
PLAIN_LOOK = np.zeros(len(LOOKS))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("demo_world") / "world"
    assert write_world(out, ARGUMENTS, Parameters(no_features=0.006), processes=1)
    return out


def _choices(carousel: str) -> dict:
    config = full.get_config("demo")
    config.data.posts.carousel = carousel
    return config.data.to_dict()


def _read(world: Path, carousel: str) -> tuple[pl.DataFrame, posts.Skips]:
    """The first steps of a build: read, drop what cannot be decoded, drop what has no features."""
    options = _choices(carousel)
    table, skips = read_posts(world / "raw", options)
    probes = probe.probe(world / "raw", table["image_paths"].explode().to_list())
    table = posts.drop_unreadable(table, probes, skips, carousel=carousel, max_images=options["groups"]["max_images"])
    keys = list(table.select("account", "image_ids").explode("image_ids").iter_rows())
    missing = FeatureReader(world / "features").missing(keys)
    return posts.drop_without_features(table, missing, skips, carousel=carousel), skips


def _files(world: Path) -> dict[str, bytes]:
    return {str(path.relative_to(world)): path.read_bytes() for path in sorted(world.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("carousel", ["first", "skip", "all"])
def test_the_reader_finds_each_planted_defect_under_its_name(world, carousel):
    planted = json.loads((world / "world.json").read_text())
    table, skips = _read(world, carousel)
    assert {reason: count for reason, count in skips.counts.items() if count} == planted["expected_skips"][carousel]
    assert set(planted["expected_skips"]["first"]) == set(posts.REASONS) - {
        "bad row",
        "carousel skipped",
        "image too narrow",
        "likes hidden (constant)",
        "too many images",
    }
    if carousel == "first":
        assert len(table) == ARGUMENTS.accounts * ARGUMENTS.posts  # all good posts are there, and nothing else
        assert [warning for warning in skips.warnings if planted["constant_accounts"][0] in warning]


def test_influencers_are_listed_as_in_the_real_file(world):
    text = (world / "raw" / "influencers.txt").read_bytes().decode("utf-8")
    lines = text.splitlines()
    assert text.startswith("\ufeffUsername\tCategory\t#Followers") and set(lines[1]) == {"="}
    assert any(line.split("\t")[1] == "fasion" for line in lines[2:])
    silent = json.loads((world / "world.json").read_text())["silent_accounts"]
    assert len(lines) == 2 + ARGUMENTS.accounts + len(silent)
    users = [line.split("\t")[0] for line in lines[2:]]
    assert any("." in user for user in users) and any("_" in user for user in users)


def test_likes_are_the_rounded_exp_of_their_terms(world):
    table, _ = _read(world, "first")
    known = truth.load(world)
    constant = json.loads((world / "world.json").read_text())["constant_accounts"]
    rows = table.select("account", "likes", image_id=pl.col("image_ids").list.first()).join(known, on=truth.KEY)
    assert len(rows) == len(table)
    terms = rows.select(pl.sum_horizontal(*truth.KNOWN, "noise")).to_series().to_numpy()
    expected = np.where(rows["account"].is_in(constant), 3, np.maximum(1, np.rint(np.exp(terms))))
    np.testing.assert_array_equal(rows["likes"].to_numpy(), expected)


def test_scores_of_those_who_know(world):
    known = truth.load(world)
    bayes, universal = truth.bayes_scores(known), truth.universal_scores(known)
    assert bayes.columns == universal.columns == ["account", "image_id", "z"]
    row = known.row(5, named=True)
    assert bayes["z"][5] == pytest.approx(row["log_followers_growth"] + row["universal"] + row["taste"] + row["depth"])
    assert universal["z"][5] == row["universal"]
    with pytest.raises(FileNotFoundError, match="demo-world"):
        truth.load(world / "raw")


def test_same_arguments_give_the_same_bytes_whatever_the_processes(tmp_path):
    arguments = Arguments(accounts=3, posts=6, side=16, depth_side=16, seed=1)
    for name, processes in (("one", 1), ("two", 2)):
        write_world(tmp_path / name, arguments, Parameters(), processes)
    one, two = _files(tmp_path / "one"), _files(tmp_path / "two")
    assert one == two
    assert len(one) > 30


def test_an_existing_world_is_kept_or_refused(world, tmp_path):
    before = (world / "world.json").stat().st_mtime_ns
    assert not write_world(world, ARGUMENTS, Parameters(no_features=0.006))
    assert (world / "world.json").stat().st_mtime_ns == before
    with pytest.raises(WorldError, match=r"parameters\.taste.*parameters\.no_features.*choose another folder"):
        write_world(world, ARGUMENTS, Parameters(taste=0.5))
    (tmp_path / "mine").mkdir()
    with pytest.raises(WorldError, match=r"mine.*choose another folder"):
        write_world(tmp_path / "mine", ARGUMENTS, Parameters())


def test_a_world_whose_writer_was_killed_is_written_anew(tmp_path):
    left = tmp_path / "world.tmp" / "world" / "raw"
    left.mkdir(parents=True)
    (left / "stale").touch()
    assert write_world(tmp_path / "world", Arguments(1, 2, 16, 16, 0), Parameters(), processes=1)
    assert not (tmp_path / "world" / "raw" / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["world"]
    assert not list((tmp_path / "world").rglob(".lock"))


def test_two_processes_cannot_write_one_world(tmp_path):
    (tmp_path / "world.tmp").mkdir()
    with lock(tmp_path / "world.tmp"), pytest.raises(BlockingIOError, match=r"world\.tmp: another process"):
        write_world(tmp_path / "world", Arguments(1, 2, 16, 16, 0), Parameters(), processes=1)


def test_every_photo_has_features_of_what_is_drawn(world):
    table, _ = _read(world, "first")
    account = table["account"][0]
    ids = table.filter(account=account)["image_ids"].list.first().to_list()
    store = FeatureReader(world / "features")
    assert store.parts == ("pose", "background", "caption", "depth") and not store.header["random_weights"]
    found = store.load(account, ids)
    assert set(found.width) == {ARGUMENTS.side}
    visible = found.keypoints[found.people > 0, 0]
    assert ((visible[..., 2] > 0) & (visible[..., :2] >= 0).all(-1)).mean() > 0.9  # in the picture, in pixels
    depth = store.depth(account, ids)
    assert depth.shape[1:] == (ARGUMENTS.depth_side,) * 2
    assert (depth.min(axis=(1, 2)) == 0).all() and (depth.max(axis=(1, 2)) == 65535).all()


def test_features_tell_posts_of_one_theme_from_others(world):
    known = truth.load(world)
    account = known["account"][0]
    rows = known.filter(account=account)
    store = FeatureReader(world / "features")
    rows = rows.filter(~pl.col("image_id").is_in([key for _, key in store.missing(rows.select(truth.KEY).rows())]))
    found = store.load(account, rows["image_id"].to_list())
    total, *parts = similarity(found, found, _choices("first")["similarity"], 0.05)
    kinds = rows.select(pl.concat_str("scene", "pose", "object")).to_series().to_numpy()
    same = (kinds[:, None] == kinds) & ~np.eye(len(kinds), dtype=bool)
    different = (rows["scene"].to_numpy()[:, None] != rows["scene"].to_numpy()) & (
        rows["pose"].to_numpy()[:, None] != rows["pose"].to_numpy()
    )
    assert total[same].mean() > total[different].mean() + 0.3
    for part in parts:
        assert part[same].mean() > part[different].mean() + 0.15


@pytest.mark.parametrize("layer", range(3))
def test_only_the_depth_map_shows_the_layer_of_the_balloon(layer):
    def photo(at: int):
        return draw((0, 0, 0), at, PLAIN_LOOK, False, np.random.default_rng(8), 96)

    first, other = photo(layer), photo((layer + 1) % 3)
    np.testing.assert_array_equal(first.rgb, other.rgb)
    changed = first.depth != other.depth
    share = changed.mean()
    assert 0.8 * np.pi * BALLOON**2 < share < 1.6 * np.pi * BALLOON**2  # the balloon and its string
    low, high = BALLOON_DEPTHS[layer]
    here = first.depth[changed] / 65535
    assert low - 1e-4 <= here.min() and here.max() <= high + 1e-4
    assert layer / 3 <= here.min() and here.max() < (layer + 1) / 3


def test_the_drawing_does_not_hang_on_its_size():
    small, large = (draw((3, 1, 2), 1, PLAIN_LOOK, True, np.random.default_rng(2), side) for side in (48, 192))
    np.testing.assert_array_equal(small.figures[0].keypoints, large.figures[0].keypoints)
    shrunk = np.asarray(Image.fromarray(large.rgb).reduce(4), int)
    assert np.abs(shrunk - small.rgb).mean() < 8
    assert np.median(np.abs(large.depth[2::4, 2::4].astype(int) - small.depth)) < 65535 * 0.01


@pytest.mark.parametrize(
    ("look", "measure"),
    [
        ("exposure", lambda rgb: rgb.mean()),
        ("warmth", lambda rgb: rgb[..., 0].mean() - rgb[..., 2].mean()),
        ("saturation", lambda rgb: (rgb.max(axis=-1) - rgb.min(axis=-1)).mean()),
        ("contrast", lambda rgb: rgb.mean(axis=-1).std()),
    ],
)
def test_grading_is_seen_in_the_pixels(look, measure):
    seen = []
    for value in (-0.5, 0, 0.5):
        looks = PLAIN_LOOK.copy()
        looks[list(LOOKS).index(look)] = value
        photo = draw((2, 0, 1), 0, looks, False, np.random.default_rng(0), 48)
        seen.append(measure(photo.rgb.astype(float)))
    assert seen[0] < seen[1] < seen[2]


def test_composition_moves_and_sizes_the_figure():
    boxes = []
    for value in (-1, 1):
        looks = PLAIN_LOOK.copy()
        looks[list(LOOKS).index("figure_size")] = looks[list(LOOKS).index("off_centre")] = value
        boxes.append(draw((2, 0, 1), 0, looks, False, np.random.default_rng(0), 48).figures[0].box)
    heights = [box[3] - box[1] for box in boxes]
    aside = [abs((box[0] + box[2]) / 2 - 0.5) for box in boxes]
    assert heights[1] > 1.2 * heights[0] and aside[1] > aside[0] + 0.1


def test_photos_of_one_kind_are_no_copies():
    one, two = (draw((1, 2, 3), 0, PLAIN_LOOK, False, np.random.default_rng(seed), 48).rgb for seed in (1, 2))
    assert np.abs(one.astype(int) - two).mean() > 10


def test_effects_have_the_sizes_they_are_given():
    """The terms' standard deviations over many accounts; the kinds' part is a share of the universal variance."""
    p = Parameters()
    drawn = [draw_account(0, number, 60, 0, p).posts for number in range(120)]
    everyone = [post for account in drawn for post in account]
    assert np.std([post.noise for post in everyone]) == pytest.approx(p.noise, rel=0.03)
    assert np.std([post.depth for post in everyone]) == pytest.approx(p.depth, rel=0.03)
    assert np.std([post.taste for post in everyone]) == pytest.approx(p.taste, rel=0.1)
    assert np.std([post.universal for post in everyone]) == pytest.approx(p.universal, rel=0.1)
    looks_only = [draw_account(0, number, 60, 0, parse(["kind_share=0"])).posts for number in range(120)]
    weights = np.array(list(LOOKS.values()))
    seen = np.array([post.look @ weights for account in looks_only for post in account])
    universal = np.array([post.universal for account in looks_only for post in account])
    assert np.corrcoef(seen, universal)[0, 1] == pytest.approx(1)  # without the kinds, looks are all there is
    assert np.corrcoef(seen, [post.universal for post in everyone])[0, 1] ** 2 == pytest.approx(0.75, abs=0.06)
    assert LAYER_EFFECT.mean() == pytest.approx(0) and LAYER_EFFECT.std() == pytest.approx(1)
    for table, values in zip(appeal(0), (SCENES, POSES, OBJECTS), strict=True):
        assert len(table) == len(values) and table.std() == pytest.approx(1)


def test_the_default_world_has_the_shape_of_the_papers_data():
    """The paper has 4.93 images and 4.51 valid pairs per group. Noise flips about one pair in 25."""
    options = _choices("first")
    groups = kept = pairs = right = 0
    for number in range(240):
        account = draw_account(5, number, 80, 0, Parameters()).posts
        likes = np.array([post.likes for post in account])
        known = np.array([post.followers + post.universal + post.taste + post.depth for post in account])
        found = kept_groups([post.time for post in account], likes, np.ones(80, int), options)
        groups, kept = groups + len(found.pairs), kept + found.images.sum()
        for group, here in enumerate(found.pairs):
            members = np.flatnonzero(found.group == group)
            a, b = members[here].T
            pairs += len(here)
            right += ((known[a] > known[b]) == (likes[a] > likes[b])).sum()
    assert 4.6 < kept / groups < 5.2 and 4.1 < pairs / groups < 5.0
    assert 0.94 < right / pairs < 0.97


def test_themes_and_good_posts_do_not_hang_on_planted_ones():
    p = parse(["theme_share=1", "themes=2"])
    account = draw_account(0, 4, 50, 7, p)
    assert len({post.kind for post in account.posts + account.extra}) == 2
    plain = draw_account(0, 4, 50, 0, p)
    assert [post.likes for post in account.posts] == [post.likes for post in plain.posts]
    assert len(account.extra) == 7


def test_each_defect_occurs_in_a_small_world_but_missing_features():
    planted = [defect for account in plan(0, 4, 20, Parameters()) for defect in account]
    assert set(planted) == set(Defect) - {Defect.NO_FEATURES}
    assert all(Defect.VIDEO not in account for account in plan(0, 4, 20, parse(["video=0"])))


def test_expected_skips_by_hand():
    planted = [Defect.VIDEO, Defect.FIRST_IMAGE_MISSING, Defect.IMAGE_MISSING, Defect.DUPLICATE_ROW]
    by_choice = expected_skips(planted, carousels=3)
    assert by_choice["first"] == by_choice["all"] == {"duplicate mapping row": 1, "image missing": 2, "video": 1}
    assert by_choice["skip"] == {"carousel skipped": 4, "duplicate mapping row": 1, "image missing": 1, "video": 1}


@pytest.mark.parametrize("setting", ["tastes=1", "taste", "taste=high", "taste=-1", "themes=7", "followers=0"])
def test_a_wrong_setting_is_named(setting, tmp_path, capsys):
    assert main([f"--out={tmp_path}/w", "--set", setting]) == 2
    assert "--set" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


def test_the_command_tells_its_sizes_and_the_next_command(tmp_path, capsys):
    assert main(["--set", "help"]) == 0
    assert "taste=0.342" in capsys.readouterr().out
    command = [f"--out={tmp_path}/w", "--accounts", "1", "--posts", "3", "--side", "16", "--processes", "1"]
    assert main(command) == 0 and main(command) == 0
    assert "kept as it is" in (said := capsys.readouterr()).out and "build" in said.out
    assert main([*command[:-2], "--seed", "4"]) == 1
    assert "choose another folder" in capsys.readouterr().err
    assert main([*command[:1], "--posts", "1"]) == 1


def test_comments_tell_how_the_post_did(world):
    """Where two or more comments are shown, praise follows the effects, noise included."""
    table, _ = _read(world, "first")
    rows = table.select("account", "comments", image_id=pl.col("image_ids").list.first()).join(
        truth.load(world), on=truth.KEY
    )
    rows = rows.filter(pl.col("comments").list.len() > 1)
    effects = rows.select(pl.sum_horizontal("universal", "taste", "depth", "noise")).to_series().to_numpy()
    praise = [np.mean([text in captions.PRAISE for text in texts]) for texts in rows["comments"]]
    assert len(rows) > 100 and np.corrcoef(praise, effects)[0, 1] > 0.4
    assert set(rows["comments"].explode()) == {*captions.PRAISE, *captions.LUKEWARM}


def test_nothing_but_the_comments_hangs_on_their_texts():
    """The number of comments and later draws of the same generator do not depend on the texts."""
    found = []
    for success in (-3.0, 3.0):
        rng, texts = np.random.default_rng(4), np.random.default_rng(5)
        posts_of_it = [captions.comments(900, success, rng, texts) for _ in range(50)]
        found.append(
            ([count for count, _ in posts_of_it], [t for _, shown in posts_of_it for t in shown], rng.random())
        )
    (counts, low, after), (same, high, also) = found
    assert counts == same and after == also and len(high) > 2 * len(low)
    praise = lambda texts: np.mean([text in captions.PRAISE for text in texts])  # noqa: E731
    assert praise(low) < 0.1 < 0.9 < praise(high)
    assert captions.comments(0, 3.0, np.random.default_rng(0), np.random.default_rng(0)) == (0, [])
