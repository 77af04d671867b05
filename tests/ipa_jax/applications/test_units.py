import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa_jax.applications.shots import Shot
from ipa_jax.applications.units import Unit, find_units, to_pick

HASHES = st.lists(
    st.tuples(st.sets(st.integers(0, 63), max_size=10), st.one_of(st.none(), st.integers(0, 12))),
    min_size=1,
    max_size=14,
)


def flipped(*bits: int) -> int:
    return sum(1 << bit for bit in bits)


def scene(seed: int, side: int = 200) -> np.ndarray:
    """A smooth random picture, uint8 [side, side]."""
    small = np.random.default_rng(seed).normal(size=(side // 8, side // 8))
    picture = np.kron(small, np.ones((8, 8)))
    for axis in (0, 1):
        for _ in range(8):
            picture = (picture + np.roll(picture, 1, axis)) / 2
    return np.interp(picture, (picture.min(), picture.max()), (0, 255)).astype(np.uint8)


def test_bursts_by_hand():
    shots = {
        "a": Shot(flipped(), taken=0),
        "b": Shot(flipped(0, 1, 2, 3), taken=9000),  # 4 bits: at any time
        "c": Shot(flipped(*range(20, 25)), taken=2),  # 5 bits from a within 3 s, 9 from b at another time
        "d": Shot(flipped(*range(30, 43)), taken=1),  # 13 bits
        "e": Shot(flipped(*range(20, 26)), taken=None),  # 1 bit from c
    }
    kinds = {
        frozenset(list(shots)[i] for i in unit.members): unit.kind for unit in find_units([*shots], [*shots.values()])
    }
    assert kinds == {frozenset("ce"): "burst", frozenset("ab"): "burst", frozenset("d"): "photo"}


@given(HASHES, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_units_are_cliques_and_do_not_depend_on_order(drawn, random):
    names = [f"{i}.jpg" for i in range(len(drawn))]
    shots = [Shot(flipped(*bits), taken=taken) for bits, taken in drawn]
    units = find_units(names, shots)
    assert sorted(i for unit in units for i in unit.members) == list(range(len(names)))
    for unit in units:
        for i in unit.members:
            for j in unit.members:
                bits = (shots[i].phash ^ shots[j].phash).bit_count()
                taken = shots[i].taken, shots[j].taken
                soon = None not in taken and abs(taken[0] - taken[1]) <= 3
                assert bits <= (12 if soon else 4)
    order = list(range(len(names)))
    random.shuffle(order)
    again = find_units([names[i] for i in order], [shots[i] for i in order])
    assert {frozenset(order[i] for i in unit.members) for unit in again} == {frozenset(unit.members) for unit in units}


def test_brackets_are_one_unit():
    far = [flipped(*range(16 * i, 16 * i + 16)) for i in range(4)]

    def shot(i, taken, mode=None, bias=None, camera="A"):
        return Shot(far[i], taken=taken, camera=camera, exposure_mode=mode, exposure_bias=bias)

    names = ["1", "2", "3", "4"]
    by_mode = [shot(0, 0, mode=2), shot(1, 1.5, mode=2), shot(2, 3, mode=2), shot(3, 5.5, mode=2)]
    assert find_units(names, by_mode) == [Unit("bracket", (0, 1, 2)), Unit("photo", (3,))]
    by_bias = [shot(0, 0, bias=0), shot(1, 1, bias=-1), shot(2, 2, bias=1), shot(3, 3, bias=1)]
    assert find_units(names, by_bias) == [Unit("bracket", (0, 1, 2)), Unit("photo", (3,))]
    two_cameras = [shot(0, 0, mode=2), shot(1, 1, mode=2, camera="B"), shot(2, 60, mode=2), shot(3, 90, mode=2)]
    assert {unit.kind for unit in find_units(names, two_cameras)} == {"photo"}


@pytest.mark.parametrize("turned", [False, True])
def test_panorama_sets_are_one_unit(turned):
    wide = scene(0)

    def shot(left, taken, seed=None, exposure=(0.01, 8.0, 100.0, 24.0)):
        gray = (wide if seed is None else scene(seed))[:64, left : left + 64]
        bits = np.random.default_rng([left, seed or 0]).integers(0, 2**63)
        return Shot(int(bits), gray=gray.T if turned else gray, taken=taken, camera="A", exposure=exposure)

    names = ["1", "2", "3", "4"]
    pan = [shot(0, 0), shot(40, 3), shot(75, 6), shot(10, 7, seed=5)]
    assert find_units(names, pan) == [Unit("panorama", (0, 1, 2)), Unit("photo", (3,))]
    back = [shot(0, 0), shot(40, 3), shot(5, 6), shot(45, 9)]  # to and fro is no panorama
    assert {unit.kind for unit in find_units(names, back)} == {"photo"}
    other_exposure = [shot(0, 0), shot(40, 3, exposure=(0.02, 8.0, 100.0, 24.0)), shot(75, 6), shot(110, 60)]
    assert {unit.kind for unit in find_units(names, other_exposure)} == {"photo"}
    strangers = [shot(0, i, seed=20 + i) for i in range(4)]
    assert {unit.kind for unit in find_units(names, strangers)} == {"photo"}


def test_how_many_are_picked():
    assert [to_pick(text, 25) for text in ("1", "12", "99", "10%", "4%", "0.5%", "100%", "28 %")] == [
        1,
        12,
        25,
        3,
        1,
        1,
        25,
        7,
    ]
    for text in ("0", "-1", "x", "0%", "101%", "nan%", "inf%", "1.5", ""):
        with pytest.raises(ValueError, match="--pick"):
            to_pick(text, 25)


def test_many_photos_are_quick_enough_to_compare():
    rng = np.random.default_rng(0)
    shots = [Shot(int(bits)) for bits in rng.integers(0, 2**63, 3000)]
    assert len(find_units([str(i) for i in range(3000)], shots)) == 3000
