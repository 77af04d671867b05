"""Near-duplicates within the account by pHash, equal files over all accounts."""

import numpy as np
import polars as pl

from data_builders.top3000 import duplicates


def frame(*rows):
    return pl.DataFrame(rows, schema=["account", "image_id", "path"], orient="row")


def test_near_within_the_account_and_equal_over_all():
    base = 0x0123_4567_89AB_CDEF
    hashes = {"t1": base, "t2": base ^ 0b1111, "t3": base ^ 0b11111, "t4": 2**64 - 1, "u1": base, "u2": 2**63}
    probes = pl.DataFrame(
        {"path": list(hashes), "phash": list(hashes.values()), "sha256": [b"a", b"b", b"c", b"d", b"e", b"d"]},
        schema={"path": pl.String, "phash": pl.UInt64, "sha256": pl.Binary},
    )
    test = frame(("x", "i1", "t1"), ("x", "i2", "t2"), ("x", "i3", "t3"), ("z", "i4", "t4"))
    train = frame(("x", "j1", "u1"), ("y", "j2", "u2"))
    flags, report = duplicates.find(test, train, probes, max_bits=4)
    assert flags.to_list() == [True, True, False, True]
    assert report["near"] == {
        "test_images": 2,
        "share": 0.5,
        "examples": [
            {"account": "x", "test": "i1", "train": "j1", "bits": 0},
            {"account": "x", "test": "i2", "train": "j1", "bits": 4},
        ],
    }
    assert report["equal_files"] == {
        "test_images": 1,
        "share": 0.25,
        "examples": [
            {"account": "z", "test": "i4", "train_account": "y", "train": "j2"},
        ],
    }
    assert report["either"] == {"test_images": 3, "share": 0.75}


def test_nearest_hash_agrees_with_counting_bits_one_by_one():
    rng = np.random.default_rng(0)
    queries, bank = (rng.integers(0, 2**64, size, dtype=np.uint64) for size in (9, 14))
    bits, nearest = duplicates.hamming_nearest(queries, bank)
    slow = [[bin(int(a) ^ int(b)).count("1") for b in bank] for a in queries]
    assert bits.tolist() == [min(row) for row in slow]
    assert nearest.tolist() == [row.index(min(row)) for row in slow]


def images(*rows):
    """(split, account, group, post, image, phash)"""
    columns = ["split", "account", "group_id", "post_id", "image_id", "phash"]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String) | {"phash": pl.UInt64}, orient="row")


def test_nearest_bits_look_at_all_of_train_and_at_the_bank_of_an_account_that_train_does_not_know():
    """i1 is near another account's train image, i2 near its own account's other group, i3 near its own group alone."""
    table = images(
        ("test", "x", "g1", "p1", "i1", 0b1),
        ("train", "y", "g9", "p9", "j1", 0b111),
        ("test", "x", "g1", "p2", "i2", 0xFF00),
        ("test", "x", "g1", "p3", "i3", 0xFF01),
        ("test", "x", "g2", "p4", "i4", 0xFF0F),
    )
    far = [bin(0xFF00 ^ 0b111).count("1"), bin(0xFF01 ^ 0b111).count("1"), bin(0xFF0F ^ 0b111).count("1")]
    assert duplicates.nearest_bits(table, by_account=False).tolist() == [2, *far]
    assert duplicates.nearest_bits(table, by_account=True).tolist() == [2, 4, 3, 3]


def test_a_test_image_is_no_duplicate_of_itself():
    table = images(("test", "x", "g1", "p1", "i1", 5), ("train", "x", "g1", "p1", "i1", 5))
    assert duplicates.nearest_bits(table, by_account=False).tolist() == [duplicates.FAR]
