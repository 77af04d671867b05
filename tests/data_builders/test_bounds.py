"""Numbers of a config: each has a range, and one out of it is refused by name before any work."""

import math
from collections.abc import Iterator

import pytest
from ml_collections import ConfigDict

from configs import full
from data_builders import bounds, options
from data_builders.bounds import Range, Sizes, above
from ipa_jax.models import registry
from ipa_jax.training.bounds import BOUNDS
from tests.helpers.commands import fail


def numbers(config: ConfigDict, prefix: str = "") -> Iterator[str]:
    """The dotted paths of all fields that hold a number or numbers."""
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from numbers(value, f"{prefix}{name}.")
        while isinstance(value, tuple) and value:
            value = value[0]
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}"


def test_every_number_of_the_config_has_a_range():
    config = full.get_config()
    tables = {f"data.{path}" for path in bounds.DATA} | {f"extract.{path}" for path in bounds.EXTRACT}
    tables |= BOUNDS.keys() | {path for network in registry.NETWORKS.values() for path in network.bounds}
    known = {field for path in tables for field, _ in bounds.fields(config, path)}
    assert set(numbers(config)) == known


@pytest.mark.parametrize("size", ["full", "demo", "tiny"])
def test_the_shipped_sizes_are_in_their_ranges(size):
    config = full.get_config(size)
    options.check(config.data.to_dict())
    options.check_extract(config.extract.to_dict())
    for network in registry.NETWORKS.values():
        bounds.check(config, BOUNDS | dict(network.bounds), "config")


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        (Range(0, 1), (0, 0.5, 1), (-0.1, 1.1, math.nan, math.inf, -math.inf, None, "1", True, ())),
        (Range(0, 1, below=True), (0, 0.999), (1, 1.5)),
        (above(0, 10), (1e-9, 10), (0, -1, 11)),
        (Range(1, 8), (1, (1, 8)), (0, (1, 9), ((1, 2), (3,)), (1, math.nan))),
        (Sizes(1, 8, 1, 2), ((1,), (1, 8)), (1, (), (1, 9), (1.5,), (True,), (1, 2, 3), ((1, 2),))),
        (Sizes(1, 8, 2, 2, rows=True), (((1, 2),), ((1, 2), (3, 4))), ((), (1, 2), ((1,),), ((1, 2), (3,)))),
    ],
)
def test_ranges(allowed, inside, outside):
    assert all(map(allowed.holds, inside)) and not any(map(allowed.holds, outside))


def test_the_message_names_field_value_and_range():
    with pytest.raises(ValueError, match=r"^config\.a\.b is nan: set it to 0 or more, below 1$"):
        bounds.check({"a": {"b": math.nan}}, {"a.b": Range(0, 1, below=True)}, "config")
    with pytest.raises(ValueError, match=r"^config\.a\.y\.b is 3: "):
        bounds.check({"a": {"x": {"b": 1}, "y": {"b": 3}}}, {"a.*.b": Range(0, 1)}, "config")
    with pytest.raises(ValueError, match=r"is \(1,\): set it to rows of 2 whole numbers from 1 to 8$"):
        bounds.check({"a": {"b": (1,)}}, {"a.b": Sizes(1, 8, 2, 2, rows=True)}, "config")
    with pytest.raises(ValueError, match=r"lacks the field"):
        bounds.check({"a": {}}, {"a.b": Range(0, 1)}, "config")


BUILD = ["data.groups.window_days=nan", "data.groups.min_images=31", "data.memory.window_days=inf",
         "data.retrieval.k=0", "data.retrieval.k=1000000", "data.depth.side=-1", "data.duplicates.max_bits=65",
         "data.pairs.min_ratio=inf", "data.split.seed=-1", "data.top_n=0", "data.similarity.pose=nan", 
         "data.posts.min_age_days=-inf", "data.similarity={'pose':0,'background':0,'caption':0}"]  # fmt: skip
EXTRACT = ["extract.batch=0", "extract.workers=-2", "extract.shard_rows=0", "extract.pose.person_score=nan",
           "extract.depth.size=(0,640)", "extract.pose.max_aspect=inf", "extract.caption.beam=1000"]  # fmt: skip
TRAIN = ["model.swin.patch=0", "model.swin.width=-8", "model.swin.drop_path=1.5", "model.swin.heads=(3,)",
         "model.swin.heads=(1,3)", "model.width=0", "model.heads=3", "model.depth.side=0", "model.depth.stage_sizes=()",
         "optim.ema=1.5", "optim.ema=1.0", "optim.b1=nan", "optim.clip_norm=0.0", "optim.weight_decay=-1.0",
         "optim.groups.rest_plain.learning_rate=nan", "optim.groups.rest_plain.learning_rate=-1.0",
         "optim.groups.rest_plain.pattern='('", "train.epochs=inf", "train.epochs=0.0", "batch.slots=-4",
         "batch.packs=0", "batch.accumulate=-1", "eval.images=0", "eval.duplicate_cosine=nan", "input.resize=0",
         "input.crop=4", "input.threads=-1", "seed=-1", "texts.words=0"]  # fmt: skip


@pytest.mark.parametrize("change", BUILD)
def test_build_refuses_a_number_before_any_work(change, tmp_path):
    out = tmp_path / "data"
    said = fail("build", "--config=full:tiny", "--raw=nowhere", "--features=nowhere", f"--data_dir={out}",
                f"--config.{change}").stderr  # fmt: skip
    assert f"config.{change.partition('=')[0]}" in said and not out.exists()


@pytest.mark.parametrize("change", EXTRACT)
def test_extract_refuses_a_number_before_any_work(change, tmp_path):
    said = fail("extract", "--config=full:tiny", "--raw=nowhere", f"--out={tmp_path}/x", f"--config.{change}").stderr
    assert f"config.{change.partition('=')[0]} is" in said and not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", TRAIN)
def test_train_refuses_a_number_before_any_work(change, tmp_path):
    said = fail("train", "--config=full:tiny", f"--workdir={tmp_path}/x", f"--config.{change}").stderr
    assert f"config.{change.partition('=')[0]}" in said and " is " in said and not list(tmp_path.iterdir())


def test_a_peers_own_numbers_are_checked_with_the_peer(tmp_path):
    for config, change in (("xu", "xu.dropout=1.0"), ("musiq_tuned", "musiq.heads=5"), ("uhan", "uhan.unknown=nan")):
        said = fail("train", f"--config={config}:tiny", f"--workdir={tmp_path}/x", f"--config.{change}").stderr
        assert f"config.{change.partition('=')[0]} is" in said, said
