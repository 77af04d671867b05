"""Tests of DEKR's pose NMS: cases that the original has answered, and its rule in plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from third_party_ports.dekr.nms import keep, neighbours

Q = np.arange(17)
G = np.stack([20.0 * (Q % 4), 20.0 * (Q // 4)], axis=-1).astype(np.float32)  # diagonal 100: threshold 5


def moved(n: int, d: float) -> np.ndarray:
    """G with its first n points d to the right, the others 6 down; for n = 9, d = 5.1 its own threshold is 5.39."""
    return (G + np.where(Q[:, None] < n, [d, 0], [0, 6])).astype(np.float32)


def shifted(d: float) -> np.ndarray:
    return G + np.float32([d, 0])


CHAIN = (G, shifted(4.9), shifted(9.8))


@pytest.mark.parametrize(
    ("poses", "heat", "kept"),
    [
        ((G, moved(8, 4.9)), (0.5, 0.4), [0, 1]),
        ((G, moved(9, 4.9)), (0.5, 0.4), [0]),
        ((G, moved(9, 4.9)), (0.4, 0.5), [1]),
        ((G, moved(9, 5.1)), (0.5, 0.4), [0]),
        ((G, moved(9, 5.1)), (0.4, 0.5), [0, 1]),
        ((moved(9, 5.1), G), (0.5, 0.4), [0]),
        ((moved(9, 5.1), G), (0.4, 0.5), [1]),
        (CHAIN, (0.6, 0.5, 0.4), [0]),
        (CHAIN, (0.6, 0.4, 0.5), [0, 2]),
        (CHAIN, (0.4, 0.6, 0.5), [1]),
        (CHAIN, (0.4, 0.5, 0.6), [1, 2]),
    ],
)
def test_cases_of_the_original(poses, heat, kept):
    assert keep(neighbours(np.stack(poses), 0.05, 8), np.float32(heat), 30) == kept


def test_the_threshold_comes_from_the_asking_poses_extent():
    near = neighbours(np.stack([G, moved(9, 5.1)]), 0.05, 8)
    assert near.tolist() == [[True, False], [True, True]]


def test_the_reach_is_a_share_of_the_diagonal():
    """0.05 reaches less than 5, and 0.15 reaches 15: shares of the diagonal, not of the area or a side."""
    for d, near in ((4.9, (True, True)), (5.0, (False, True)), (14.9, (False, True)), (15.1, (False, False))):
        ours = tuple(bool(neighbours(np.stack([G, shifted(d)]), share, 8)[0, 1]) for share in (0.05, 0.15))
        assert ours == near, d


def test_more_than_so_many_keypoints_are_common():
    near = {
        n: [bool(neighbours(np.stack([G, moved(n, 1)]), 0.05, count)[0, 1]) for count in (7, 8, 9, 10)]
        for n in (7, 8, 9, 10, 11)
    }
    assert near == {
        7: [False, False, False, False],
        8: [True, False, False, False],
        9: [True, True, False, False],
        10: [True, True, True, False],
        11: [True, True, True, True],
    }


def test_a_pose_of_one_point_speaks_for_itself():
    point = np.full((17, 2), 7, np.float32)
    near = neighbours(np.stack([point, point, G]), 0.05, 8)
    assert not near[:2].any()
    assert keep(near, np.float32([0.2, 0.3, 0.1]), 30) == [0, 1, 2]


def test_equal_heat_keeps_the_first():
    assert keep(np.ones((3, 3), bool), np.float32([0.5, 0.7, 0.7]), 30) == [1]


def test_of_too_many_the_hottest_stay_in_descending_order():
    heat = np.random.default_rng(0).permutation(40) / 40
    kept = keep(np.eye(40, dtype=bool), heat, 30)
    assert heat[kept].tolist() == sorted(heat)[::-1][:30]
    assert keep(np.eye(40, dtype=bool), heat, 40) == list(range(40))


@given(st.integers(1, 6).flatmap(lambda n: st.tuples(
    st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=n, max_size=n),
    st.lists(st.integers(0, 3), min_size=n, max_size=n),
)))  # fmt: skip
def test_equals_the_rule_in_plain_loops(drawn):
    near, heat = drawn
    gone, kept = set(), []
    for i, row in enumerate(near):
        if i in gone:
            continue
        group = [j for j, close in enumerate(row) if close] or [i]
        best = max(group, key=lambda j: (heat[j], -j))
        if best not in gone:
            kept.append(best)
            gone.update(group)
    assert keep(np.array(near), np.array(heat), 30) == kept
