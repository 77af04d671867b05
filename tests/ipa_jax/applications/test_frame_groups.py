import numpy as np
from PIL import Image, ImageEnhance

from ipa_jax.applications.frame_groups import Groups, Seen, look_at
from tests.helpers.videos import noise


def seen(bits: int, colour: float = 100.0) -> Seen:
    return Seen(bits, np.full(3, colour), False)


def test_frames_of_one_shot_are_one_and_of_another_not():
    groups = Groups()
    first, second = noise(1, (160, 120)), noise(2, (160, 120))
    shot = [first, ImageEnhance.Brightness(first).enhance(1.05), first.crop((2, 2, 158, 118)).resize((160, 120))]
    found = [groups.add(look_at(image), i / 25) for i, image in enumerate([*shot, second, *shot])]
    assert found == [0, 0, 0, 1, 0, 0, 0] and len(groups) == 2


def test_within_12_bits_only_in_a_row_and_soon_and_within_4_bits_always():
    for at, group in ((3.0, 0), (3.1, 1)):
        groups = Groups()
        assert [groups.add(seen(0), 0.0), groups.add(seen(0xFFF), at)] == [0, group]
    groups = Groups()
    added = [
        groups.add(seen(bits), float(t)) for t, bits in ((0, 0), (1, 2**40 - 1), (2, 0xFFF), (50, 0xF), (51, 0xFFFF))
    ]
    assert added == [0, 1, 2, 0, 2]  # the last is near 2, and the frame before it was in 0
    assert groups.add(seen(0x3FFF << 16), None) == 3
    assert groups.add(seen(0xFFF << 16), None) == 3 and groups.add(seen(0xFF << 16), None) == 4  # no time, no row


def test_a_slow_pan_is_not_one_group():
    groups = Groups()
    found = [groups.add(seen(2 ** (3 * i) - 1), i / 10) for i in range(20)]  # 3 bits from frame to frame
    assert len(groups) > 3 and found == sorted(found)


def test_colour_tells_pictures_of_one_shape_apart_and_plain_ones_too():
    groups = Groups()
    images = [noise(3).convert("L").convert("RGB")]
    images.append(Image.merge("RGB", [images[0].getchannel(0), Image.new("L", (64, 48)), Image.new("L", (64, 48))]))
    images += [Image.new("RGB", (64, 48), colour) for colour in ("black", (3, 3, 3), "red", "black")]
    assert [groups.add(look_at(image), float(i)) for i, image in enumerate(images)] == [0, 1, 2, 2, 3, 2]


def test_many_groups():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 300)
    groups = Groups()
    assert [groups.add(seen(int(bits)), None) for bits in hashes] == list(range(300))
    assert [groups.add(seen(int(bits) ^ 1), None) for bits in hashes] == list(range(300))
