import json
import shutil
import subprocess
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ipa_jax.applications import ratings, xmp

LIGHTROOM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0">
 <!-- a > b, and a rating: xmp:Rating="2" -->
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about='' xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   crs:Exposure2012="+0.35" {rating} crs:Note="x > y">
   <dc:subject xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Bag>
    <rdf:li>Größe &amp; Meer</rdf:li></rdf:Bag></dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
ELEMENT = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:a="http://ns.adobe.com/xap/1.0/" xmlns:xmp="urn:mine"
 xmp:Rating="7">{rating}</rdf:Description>
</rdf:RDF></x:xmpmeta>"""
BARE = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description/></rdf:RDF>"""


def test_stars_by_hand():
    assert [ratings.stars(rank, 10) for rank in range(1, 11)] == [5, 5, 4, 4, 3, 3, 2, 2, 1, 1]
    assert [ratings.stars(rank, 3) for rank in (1, 2, 3)] == [5, 4, 2]
    assert ratings.stars(1, 1) == 5


@given(st.integers(1, 500))
def test_stars_go_down_from_five(units):
    given_stars = [ratings.stars(rank, units) for rank in range(1, units + 1)]
    assert given_stars[0] == 5 and min(given_stars) >= 1 and given_stars == sorted(given_stars, reverse=True)


@pytest.mark.parametrize(
    ("before", "after", "was"),
    [
        (LIGHTROOM.format(rating='xmp:Rating="3"'), LIGHTROOM.format(rating='xmp:Rating="4"'), 3),
        (LIGHTROOM.format(rating="xmp:Rating = '-1'"), LIGHTROOM.format(rating="xmp:Rating = '4'"), -1),
        (ELEMENT.format(rating="<a:Rating>2</a:Rating>"), ELEMENT.format(rating="<a:Rating>4</a:Rating>"), 2),
        (ELEMENT.format(rating="<a:Rating/>"), ELEMENT.format(rating="<a:Rating>4</a:Rating>"), None),
        (
            ELEMENT.format(rating=""),
            ELEMENT.format(rating="").replace("<rdf:Description", '<rdf:Description a:Rating="4"'),
            None,
        ),
        (
            BARE,
            BARE.replace(
                "<rdf:Description", '<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"'
            ),
            None,
        ),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_only_the_rating_changes(before, after, was, encoding):
    document = before.encode(encoding)
    assert xmp.rating(document) == was
    changed = xmp.with_rating(document, 4)
    assert changed == after.encode(encoding) and xmp.rating(changed) == 4


def test_a_prefix_that_means_something_else_is_not_taken():
    document = BARE.replace("<rdf:Description/>", '<rdf:Description xmlns:xmp="urn:mine" xmp:Rating="7"/>').encode()
    assert xmp.rating(document) is None
    changed = xmp.with_rating(document, 4)
    assert b'xmlns:xap="http://ns.adobe.com/xap/1.0/" xap:Rating="4"' in changed and b'xmp:Rating="7"' in changed
    assert xmp.rating(changed) == 4


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "entities"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'.encode("utf-16"), "entities"),
        (b"<x>", "not well-formed"),
        (b"", "not well-formed"),
        (b"<x/>", "no rdf:Description"),
        (b"\xff\xff", "UTF-8"),
        (b" " * (xmp.LARGEST + 1), "bytes"),
    ],
)
def test_what_is_no_xmp_is_refused(document, message):
    with pytest.raises(xmp.XmpError, match=message):
        xmp.with_rating(document, 4)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(noise):
    whole = LIGHTROOM.format(rating='xmp:Rating="3"').encode()
    for document in (noise, whole[:300] + noise + whole[300:]):
        with suppress(xmp.XmpError):
            assert xmp.rating(xmp.with_rating(document, 4)) == 4


def test_sidecars_are_made_merged_and_kept(tmp_path):
    photos = [tmp_path / name for name in ("new.jpg", "rated.jpg", "rejected.jpg", "zero.jpg", "bad.jpg")]
    for name, rating in (("rated.jpg.xmp", 3), ("rejected.xmp", -1), ("zero.xmp", 0)):
        (tmp_path / name).write_text(LIGHTROOM.format(rating=f'xmp:Rating="{rating}"'))
    (tmp_path / "bad.xmp").write_bytes(b"<x")
    done = ratings.write_ratings(photos, [1, 2, 3, 4, 5], 5)
    assert [one.outcome for one in done] == ["written", "kept", "kept", "written", "skipped"]
    assert [one.stars for one in done] == [5, 4, 3, 2, 1]
    assert str(tmp_path / "bad.xmp") in done[4].reason and (tmp_path / "bad.xmp").read_bytes() == b"<x"
    assert xmp.rating((tmp_path / "new.jpg.xmp").read_bytes()) == 5
    assert (tmp_path / "zero.xmp").read_text() == LIGHTROOM.format(rating='xmp:Rating="2"')
    assert (tmp_path / "rejected.xmp").read_text() == LIGHTROOM.format(rating='xmp:Rating="-1"')
    assert not (tmp_path / "rejected.jpg.xmp").exists()

    done = ratings.write_ratings(photos[:4], [1, 2, 3, 4], 4, overwrite=True)
    assert {one.outcome for one in done} == {"written"}
    assert (tmp_path / "rejected.xmp").read_text() == LIGHTROOM.format(rating='xmp:Rating="3"')


def test_both_habits_are_kept_alike_and_a_shared_name_is_left_alone(tmp_path):
    for name in ("a.xmp", "a.jpg.xmp", "b.xmp"):
        (tmp_path / name).write_text(BARE)
    both, jpg, png = tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path / "b.png"
    done = ratings.write_ratings([both, jpg, png], [1, 2, 2], 2)
    assert [one.outcome for one in done] == ["written"] * 3
    assert [xmp.rating((tmp_path / name).read_bytes()) for name in ("a.xmp", "a.jpg.xmp")] == [5, 5]
    assert (tmp_path / "b.xmp").read_text() == BARE  # it may belong to either
    assert [xmp.rating((tmp_path / name).read_bytes()) for name in ("b.jpg.xmp", "b.png.xmp")] == [3, 3]


def test_a_folder_that_cannot_be_written_is_a_reason(tmp_path):
    (done,) = ratings.write_ratings([tmp_path / "gone" / "a.jpg"], [1], 1)
    assert done.outcome == "skipped" and "gone" in done.reason


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_reads_the_ratings(tmp_path):
    photo = tmp_path / "a.jpg"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(photo)
    (tmp_path / "b.xmp").write_text(LIGHTROOM.format(rating='xmp:Rating="0"'))
    ratings.write_ratings([photo, tmp_path / "b.jpg"], [1, 2], 2)
    command = ["exiftool", "-json", "-Rating", "-Subject", "a.jpg.xmp", "b.xmp"]
    found = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout)
    assert [entry["Rating"] for entry in found] == [5, 3] and found[1]["Subject"] == "Größe & Meer"
