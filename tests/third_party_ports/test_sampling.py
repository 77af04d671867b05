"""Block by block gives the same bits as the whole image at once."""

import numpy as np
import pytest

from third_party_ports.sampling import ROWS, Taps, blocks


def taps(size: int, side: int, rng: np.random.Generator) -> Taps:
    low = rng.integers(0, side, size)
    return Taps(low, np.minimum(low + 1, side - 1), (rng.random(size, np.float32),))


def between(low, high, share):
    high -= low
    high *= share
    high += low
    return high


@pytest.mark.parametrize("rows", [1, ROWS, 2 * ROWS + 5])
@pytest.mark.parametrize("flip", [False, True])
def test_blocks_equal_the_whole(rows, flip):
    rng = np.random.default_rng(rows)
    image = rng.integers(0, 256, (23, 31, 3), dtype=np.uint8)
    minus = np.array([1.5, 20.25, 7.1], np.float32)
    down, across = taps(rows, 23, rng), taps(17, 31, rng)
    sampled = np.full((rows, 17, 3), np.nan, np.float32)
    for part, block in blocks(image, down, across, between, minus=minus, flip=flip):
        sampled[part] = block

    whole = image.astype(np.float32) - minus
    whole = between(whole[down.low], whole[down.high], down.weights[0][:, None, None])
    whole = between(whole[:, across.low], whole[:, across.high], across.weights[0][None, :, None])
    np.testing.assert_array_equal(sampled, whole[..., ::-1] if flip else whole)
