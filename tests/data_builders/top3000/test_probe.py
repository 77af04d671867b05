"""Probing image files: readable or not, pHash, file hash."""

import hashlib
import io
import struct
import zlib

import numpy as np
import polars as pl
import pytest
from PIL import Image

from data_builders.top3000 import probe
from tests.helpers.raw_layout import save_image


def scene(seed: int, side: int = 64) -> Image.Image:
    """A smooth random picture: low frequencies, which pHash looks at."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def bits_apart(a: int, b: int) -> int:
    return (a ^ b).bit_count()


@pytest.mark.parametrize(("name", "options"), [("a.jpg", {"quality": 90}), ("a.png", {}), ("a.webp", {})])
def test_the_three_formats_are_read(tmp_path, name, options):
    scene(0).save(tmp_path / name, **options)
    found = probe.probe(tmp_path, [name])
    assert found.schema == probe.SCHEMA and found["readable"].to_list() == [True]
    assert found["sha256"][0] == hashlib.sha256((tmp_path / name).read_bytes()).digest()


def test_the_phash_is_that_of_the_published_recipe(tmp_path):
    """64 bits: the 8 x 8 lowest DCT coefficients of the 32 x 32 gray image, above their median or not."""
    scene(3, side=32).convert("L").save(tmp_path / "a.png")
    pixels = np.asarray(Image.open(tmp_path / "a.png"), np.float64)
    n = np.arange(32)
    basis = np.cos(np.pi * (2 * n[None] + 1) * n[:, None] / 64)  # DCT-II, unnormalised
    low = (basis @ pixels @ basis.T)[:8, :8]
    bits = "".join(str(int(value > np.median(low))) for value in low.ravel())
    assert probe.probe(tmp_path, ["a.png"])["phash"][0] == int(bits, 2)


def test_the_same_photo_saved_again_is_near_and_another_far(tmp_path):
    scene(1, side=512).save(tmp_path / "a.jpg", quality=95)
    scene(1, side=512).resize((300, 300)).save(tmp_path / "b.png")
    scene(2, side=512).save(tmp_path / "c.jpg")
    a, b, c = probe.probe(tmp_path, ["a.jpg", "b.png", "c.jpg"])["phash"]
    assert bits_apart(a, b) <= 4 < bits_apart(a, c)


def test_sixteen_bits_have_the_hash_of_eight(tmp_path):
    """Clipped at 255, the whole photo would be white."""
    gray = np.asarray(scene(4).convert("L"))
    Image.fromarray(gray).save(tmp_path / "8.png")
    Image.fromarray(gray.astype(np.uint16) << 8).save(tmp_path / "16.png")
    assert probe.probe(tmp_path, ["8.png", "16.png"])["phash"].n_unique() == 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_colour_mode_is_read(tmp_path, mode):
    name = "a.jpg" if mode == "CMYK" else "a.png"
    (Image.new("I;16", (16, 16), 700) if mode == "I;16" else scene(0).convert(mode)).save(tmp_path / name)
    assert probe.probe(tmp_path, [name])["readable"].to_list() == [True]


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header claims this size, almost without pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def broken_files() -> dict[str, bytes]:
    def saved(kind: str, **options) -> bytes:
        buffer = io.BytesIO()
        scene(0, side=256).save(buffer, kind, **options)
        return buffer.getvalue()

    jpeg = saved("JPEG")
    return {
        "empty.jpg": b"",
        "page.jpg": b"<html>login</html>",
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "head.jpg": jpeg[:30],
        "cut.png": saved("PNG")[:500],
        "gif.jpg": saved("GIF"),  # whatever it calls itself
        "bomb.png": png_of_size(10_000, 10_000),  # Pillow only warns of it
        "huge.png": png_of_size(100_000, 100_000),
    }


@pytest.mark.parametrize("name", broken_files())
def test_a_bad_file_is_unreadable(tmp_path, name):
    (tmp_path / name).write_bytes(broken_files()[name])
    assert probe.probe(tmp_path, [name]).row(0) == (name, False, None, None)


def test_a_file_that_is_not_there_or_a_folder_is_unreadable(tmp_path):
    (tmp_path / "d.jpg").mkdir()
    assert probe.probe(tmp_path, ["none.jpg", "d.jpg"])["readable"].to_list() == [False, False]


def test_one_row_a_path_in_order(tmp_path):
    for name in ("a.png", "b.png"):
        save_image(tmp_path / name, shade=len(name))
    found = probe.probe(tmp_path, ["b.png", "no.png", "a.png", "b.png"])
    assert found["path"].to_list() == ["b.png", "no.png", "a.png"]
    assert found["readable"].to_list() == [True, False, True]


def test_no_path_gives_an_empty_table(tmp_path):
    assert probe.probe(tmp_path, []).equals(pl.DataFrame(schema=probe.SCHEMA))


def test_processes_change_nothing(tmp_path, monkeypatch):
    for number in range(6):
        scene(number).save(tmp_path / f"{number}.png")
    paths = [f"{number}.png" for number in range(7)]  # the last is missing
    alone = probe.probe(tmp_path, paths, workers=1)
    monkeypatch.setattr(probe, "ALONE", 0)
    monkeypatch.setattr(probe, "SLICE", 2)
    assert probe.probe(tmp_path, paths, workers=2).equals(alone)
