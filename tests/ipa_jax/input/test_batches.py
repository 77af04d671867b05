"""Batches: the same steps for any processes, threads and workers; the right numbers in the right slots."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from configs import full
from ipa_jax.input import batches, packing, photos
from tests.helpers.group_stand_in import StandIn, jpeg

SIZES = [2, 3, 7, 5, 4, 2, 6, 3, 3, 4, 8, 2, 5, 3]


def config_of(by="groups", **fields):
    config = full.get_config("tiny")
    config.input.update({"resize": 48, "crop": 40, "threads": 0, "workers": 0, "prefetch": 2})
    config.batch.update({"by": by, "slots": 12, "packs": 2, "pairs": 4})
    config.train.epochs = 2.5
    for name, value in fields.items():
        config.update_from_flattened_dict({name.replace("__", "."): value})
    return config


def steps_of(dataset, config, start=0, index=0, count=1, **options):
    steps = batches.train_batches(
        dataset, config, start_step=start, process_index=index, process_count=count, **options
    )
    return list(steps)


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        assert one[key].dtype == other[key].dtype
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


@pytest.fixture(scope="module")
def dataset():
    return StandIn(SIZES, carousel=True)


@pytest.mark.parametrize("by", ["pairs", "groups"])
def test_keys_shapes_and_dtypes(dataset, by):
    batch = steps_of(dataset, config_of(by))[0]
    b, s = (4, 2) if by == "pairs" else (2, 12)
    assert {key: (value.dtype.str.lstrip("<|"), value.shape[2:]) for key, value in batch.items()} == {
        "image": ("u1", (40, 40, 3)),
        "log_likes": ("f4", ()),
        "slot_mask": ("b1", ()),
        "pair_weight": ("f4", (s,)),
        "slot": ("i4", ()),
        "record": ("i4", ()),
        "position": ("i4", ()),
        "window": ("f4", (3,)),
        "flip": ("b1", ()),
        "similarity": ("f4", (5,)),
        "local": ("f4", (5,)),
        "count": ("f4", (5,)),
        "retrieved_mask": ("b1", (5,)),
        "depth": ("u2", (8, 8)),
    }
    assert all(value.shape[:2] == (b, s) for value in batch.values())


def test_branches_that_are_off_bring_no_keys(dataset):
    batch = steps_of(dataset, config_of(model__depth__enabled=False, model__retrieval__enabled=False))[0]
    assert not {"depth", "depth_vectors", "similarity", "local", "count", "retrieved_mask"} & batch.keys()
    assert {"window", "flip"} <= batch.keys()


@pytest.mark.parametrize("by", ["pairs", "groups"])
def test_every_slot_holds_what_the_record_says(dataset, by):
    """Each image cut out, flipped and labelled again, slot by slot, from the example and the drawn numbers."""
    config = config_of(by)
    for step, batch in enumerate(steps_of(dataset, config)):
        b, s = batch["slot_mask"].shape
        np.testing.assert_array_equal(batch["slot"], np.arange(b * s).reshape(b, s))
        for pack, slot in itertools.product(range(b), range(s)):
            at = {key: value[pack, slot] for key, value in batch.items()}
            if not at["slot_mask"]:
                assert at["record"] == at["position"] == -1
                assert not any(at[key].any() for key in at.keys() - {"record", "position", "slot"})
                continue
            example, i = dataset.examples[at["record"]], at["position"]
            rng = np.random.default_rng([config.seed, step, pack * s + slot])
            top, left = rng.integers(0, 9, 2)
            flip = bool(rng.integers(2))
            image = photos.decode(example["images"][i], 48)[top : top + 40, left : left + 40]
            np.testing.assert_array_equal(at["image"], image[:, ::-1] if flip else image)
            np.testing.assert_allclose(at["window"], [top / 48, left / 48, 40 / 48], rtol=1e-6)
            assert at["flip"] == flip
            assert at["log_likes"] == np.float32(np.log(float(example["likes"][i])))
            np.testing.assert_array_equal(at["similarity"], example["similarity"][i, :, 0].astype(np.float32))
            np.testing.assert_array_equal(at["local"], example["local_score"][i].astype(np.float32))
            np.testing.assert_array_equal(at["count"], example["count"][i])
            np.testing.assert_array_equal(at["retrieved_mask"], example["mask"][i])
            np.testing.assert_array_equal(at["depth"], example["depth"][i])


@pytest.mark.parametrize("by", ["pairs", "groups"])
def test_pair_weights_are_those_of_whole_epochs(dataset, by):
    """Over an epoch every valid pair has its weight once, above the diagonal, and nothing else has any."""
    found = []
    for batch in steps_of(dataset, config_of(by, train__epochs=1.0)):
        for pack, i, j in zip(*np.nonzero(batch["pair_weight"]), strict=True):
            assert i < j and batch["record"][pack, i] == batch["record"][pack, j]
            ids = (batch["record"][pack, i], batch["position"][pack, i], batch["position"][pack, j])
            found.append((*map(int, ids), float(batch["pair_weight"][pack, i, j])))
    expected = [
        (record, int(i), int(j), float(example["weight"][i] * example["weight"][j]))
        for record, example in enumerate(dataset.examples)
        for i, j in example["pairs"]
    ]
    assert sorted(found) == sorted(expected)
    assert {weight for *_, weight in found} == {0.5, 1.0}


@pytest.mark.parametrize("by", ["pairs", "groups"])
def test_last_step_is_filled_with_empty_packs(dataset, by):
    config = config_of(by)
    plan = batches.train_plan(dataset, config)
    steps = steps_of(dataset, config)
    assert len(steps) == packing.total_steps(plan, 2.5)
    packs = sum(int(batch["slot_mask"].any(axis=1).sum()) for batch in steps)
    assert packs == packing.total_packs(plan, 2.5)


@pytest.mark.parametrize("by", ["pairs", "groups"])
def test_processes_share_a_step_in_order(dataset, by):
    config = config_of(by)
    alone = steps_of(dataset, config)
    shares = [steps_of(dataset, config, index=i, count=2) for i in (0, 1)]
    assert len(shares[0]) == len(shares[1]) == len(alone)
    for whole, *parts in zip(alone, *shares, strict=True):
        assert_same(whole, {key: np.concatenate([part[key] for part in parts]) for key in whole})


@pytest.mark.parametrize("start", [1, 5])
def test_resumed_steps_are_those_of_never_stopping(dataset, start):
    config = config_of()
    for one, other in zip(steps_of(dataset, config)[start:], steps_of(dataset, config, start), strict=True):
        assert_same(one, other)


def test_beyond_the_end_there_is_nothing(dataset):
    assert steps_of(dataset, config_of(), start=10_000) == []


@pytest.mark.parametrize("options", [{"input__threads": 3, "input__prefetch": 1}, {"input__workers": 2}])
def test_threads_and_workers_change_nothing(dataset, options):
    for one, other in zip(steps_of(dataset, config_of()), steps_of(dataset, config_of(**options)), strict=True):
        assert_same(one, other)


def test_pairs_decode_only_their_two_images(dataset, monkeypatch):
    decoded = []
    monkeypatch.setattr(photos, "decode", lambda photo, size: decoded.append(photo) or np.zeros((size, size, 3), "u1"))
    assert len(steps_of(dataset, config_of("pairs", train__epochs=1.0))) * 4 - len(decoded) // 2 < 4
    assert len(decoded) == 2 * int(dataset.groups["pairs"].sum())


def test_cached_depth_vectors_come_by_row_of_the_index(dataset, tmp_path):
    vectors = np.random.default_rng(0).random((len(dataset.images), 5, 6), np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    row_of = {key: row for row, key in enumerate(dataset.images.select("record", "position").iter_rows())}
    config = config_of(model__depth__resnet="cached")
    batch = steps_of(dataset, config, depth_vectors=tmp_path / "vectors.npy")[0]
    assert "depth" not in batch
    for pack, slot in np.argwhere(batch["slot_mask"]):
        row = row_of[int(batch["record"][pack, slot]), int(batch["position"][pack, slot])]
        np.testing.assert_array_equal(batch["depth_vectors"][pack, slot], vectors[row])
    assert not batch["depth_vectors"][~batch["slot_mask"]].any()
    with pytest.raises(ValueError, match=r"'cached', but no array"):
        steps_of(dataset, config)
    np.save(tmp_path / "short.npy", vectors[1:])
    with pytest.raises(ValueError, match=r"short\.npy has shape .* needs \(57, 5, D\)"):
        steps_of(dataset, config, depth_vectors=tmp_path / "short.npy")


def broken():
    dataset = StandIn(SIZES)
    dataset.examples[2]["images"][4] = dataset.examples[2]["images"][4][:200]
    return dataset


@pytest.mark.parametrize("threads", [0, 2])
def test_a_corrupt_image_is_named(threads):
    with pytest.raises(ValueError, match=r"record 2 \(group account2/p0\), image 2_4 in stand-in, split train: not a"):
        steps_of(broken(), config_of(input__threads=threads))


def test_choices_that_cannot_be_met_are_named(dataset):
    with pytest.raises(ValueError, match=r"batch\.packs is 2: set it to a multiple of the 3 processes"):
        steps_of(dataset, config_of(), count=3)
    with pytest.raises(ValueError, match=r"batch\.pairs is 4: .*3 processes"):
        steps_of(dataset, config_of("pairs"), count=3)
    with pytest.raises(ValueError, match=r"input\.crop \(56\) is larger than input\.resize \(48\)"):
        steps_of(dataset, config_of(input__crop=56))
    other = StandIn(SIZES)
    other.options["depth"]["side"] = 0
    with pytest.raises(ValueError, match=r"data\.depth\.side=0 and holds no depth maps"):
        steps_of(other, config_of())
    other.options["pairs"]["min_ratio"] = 3
    with pytest.raises(ValueError, match=r"lists \d+ valid pairs, but its likes give \d+"):
        steps_of(other, config_of())


@pytest.mark.parametrize(("images", "packs", "count"), [(10, 1, 1), (16, 2, 1), (6, 1, 2), (8, 2, 2), (500, 4, 1)])
def test_scoring_takes_every_image_once_from_the_centre(dataset, images, packs, count):
    shares = [
        list(batches.score_batches(dataset, config_of(), images, packs=packs, process_index=index, process_count=count))
        for index in range(count)
    ]
    assert len({len(share) for share in shares}) == 1
    rows = []
    for batch in itertools.chain.from_iterable(zip(*shares, strict=True)):
        assert batch["slot_mask"].shape == (packs, images // packs)
        assert not batch["flip"].any()
        for pack, slot in np.argwhere(batch["slot_mask"]):
            record, position = int(batch["record"][pack, slot]), int(batch["position"][pack, slot])
            rows.append((record, position))
            image = photos.decode(dataset.examples[record]["images"][position], 48)[4:44, 4:44]
            np.testing.assert_array_equal(batch["image"][pack, slot], image)
            np.testing.assert_allclose(batch["window"][pack, slot], [4 / 48, 4 / 48, 40 / 48], rtol=1e-6)
    assert rows == list(dataset.images.select("record", "position").iter_rows())


def test_packs_must_divide_the_images_scored_at_once(dataset):
    with pytest.raises(ValueError, match=r"images_per_batch \(10\) must be a multiple of packs \(4\)"):
        batches.score_batches(dataset, config_of(), 10, packs=4)


def test_reading_processes_start_light():
    """What a reading process unpickles, grain aside, brings neither jax nor TensorFlow."""
    code = (
        "import sys, types\n"
        "sys.modules['grain'] = types.SimpleNamespace(transforms=types.SimpleNamespace(Map=object))\n"
        "import ipa_jax.input.batches\n"
        "assert not {'jax', 'flax', 'tensorflow'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_batches_of_a_built_data_set(tmp_path):
    """Raw CSV and feature store -> data_builders.build -> reading processes: every slot is the record's."""
    built = build_small_set(tmp_path)
    for by, workers in (("groups", 2), ("pairs", 0)):
        config = config_of(by, input__workers=workers, train__epochs=1.0)
        seen = set()
        for batch in steps_of(built, config):
            for pack, slot in np.argwhere(batch["slot_mask"]):
                record, position = int(batch["record"][pack, slot]), int(batch["position"][pack, slot])
                seen.add((record, position))
                example = built[record]
                top, left = np.round(batch["window"][pack, slot, :2] * 48).astype(int)
                image = photos.decode(example["images"][position], 48)[top : top + 40, left : left + 40]
                shown = image[:, ::-1] if batch["flip"][pack, slot] else image
                np.testing.assert_array_equal(batch["image"][pack, slot], shown)
                np.testing.assert_array_equal(batch["depth"][pack, slot], example["depth"][position])
                np.testing.assert_allclose(batch["local"][pack, slot], example["local_score"][position], rtol=1e-6)
        if by == "groups":
            assert seen == set(built.images.select("record", "position").iter_rows())
    scored = list(batches.score_batches(built, config_of(), 16))
    assert sum(int(batch["slot_mask"].sum()) for batch in scored) == len(built.images)


def build_small_set(root):
    from data_builders.dataset import GroupDataset
    from data_builders.features.store import FeatureWriter
    from data_builders.top3000.build import build

    rng = np.random.default_rng(0)
    lines = ["image,account,likes,timestamp"]
    extractor = {"name": "drawn", "version": "1", "weights_sha256": "0" * 64}
    parts = ("pose", "background", "caption", "depth")
    with FeatureWriter(root / "features", extractors=dict.fromkeys(parts, extractor), depth_side=48) as writer:
        for account, post in itertools.product("abc", range(60)):
            name = f"{account}{post}.jpg"
            (root / name).write_bytes(jpeg(rng))
            lines.append(f"{name},{account},{rng.integers(100, 1000)},{1_500_000_000 + post * 100_000}")
            writer.write(
                account, name, 48, 48, people=[], background=rng.random(4), caption_vector=rng.random(4),
                caption_text="", depth=rng.random((48, 48)),
            )  # fmt: skip
    (root / "posts.csv").write_text("\n".join(lines))
    build(full.get_config("tiny").data.to_dict(), root / "posts.csv", root / "features", root / "data")
    return GroupDataset(root / "data", "train")
