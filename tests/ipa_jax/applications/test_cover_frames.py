"""What is kept of a video's frames while they stream, against a slow version that has them all."""

import numpy as np
import pytest

from ipa_jax.applications import cover_frames
from ipa_jax.applications.cover_frames import CoverFrames, Sampled, clock
from ipa_jax.applications.frame_groups import Seen
from ipa_jax.applications.ranked_photo import RankedPhoto, SimilarPost
from tests.helpers.videos import noise

POST = SimilarPost("p", "p.jpg", "2020-01-01", 1, 1.0, 1.0, 0.0, 1.0, 1.0)


def photo(score: float) -> RankedPhoto:
    return RankedPhoto("file", 1, "photo", True, False, score, {}, None, (POST,), "why")


@pytest.mark.parametrize("seed", range(5))
def test_the_best_frames_of_the_best_groups_are_kept(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(cover_frames, "SHOWN", 3)
    monkeypatch.setattr(cover_frames, "thumbnail", lambda file, side: file.read_bytes())
    rng = np.random.default_rng(seed)
    scores, kinds = rng.integers(0, 20, 120) / 10, rng.integers(0, 12, 120)  # many ties
    frames = CoverFrames(tmp_path)
    for begin in range(0, 120, 7):
        batch = []
        for i in range(begin, min(begin + 7, 120)):
            file = tmp_path / f"{i - begin}.tif"  # written over by the next batch
            file.write_bytes(str(i).encode())
            seen = Seen(int(2 ** (5 * kinds[i]) - 1), np.zeros(3), False)
            batch.append(Sampled(i, float(10 * i), file, seen))
        frames.add(batch, [photo(scores[s.number]) for s in batch])

    best = {kind: min(np.flatnonzero(kinds == kind), key=lambda i: (-scores[i], i)) for kind in set(kinds.tolist())}
    order = sorted(best.values(), key=lambda i: (-scores[i], i))
    assert {name: content for name, content in frames.pictures.items()} == {
        f"{clock(10.0 * i)}, frame {i}": str(i).encode() for i in order[:3]
    }
    assert frames.best_file.read_bytes() == str(order[0]).encode()
    arranged = frames.arranged()
    assert arranged.units == len(best) and len(arranged.photos) == 120
    leads = [p for p in arranged.photos if p.leads]
    assert [p.name for p in leads] == [f"{clock(10.0 * i)}, frame {i}" for i in order]
    assert [p.rank for p in leads] == list(range(1, len(best) + 1)) and [p.picked for p in leads].index(True) == 0
    assert {p.name for p in arranged.photos if p.similar} == set(frames.pictures)  # the memory of the others is freed
    assert sum(p.picked for p in arranged.photos) == 1


def test_frames_without_times_go_by_their_number(tmp_path):
    file = tmp_path / "0.tif"
    noise(0).save(file)
    frames = CoverFrames(tmp_path)
    frames.add([Sampled(50, None, file, Seen(0, np.zeros(3), False))], [photo(1.0)])
    assert frames.frames[0].photo.name == frames.frames[0].clock == "frame 50"


def test_times_as_players_show_them():
    for seconds, text in (
        (0, "0:00.00"),
        (5.2, "0:05.20"),
        (59.999, "1:00.00"),
        (3723.456, "1:02:03.46"),
        (-0.5, "-0:00.50"),
    ):
        assert clock(seconds) == text
