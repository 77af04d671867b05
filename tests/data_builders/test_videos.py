"""Videos are read as players show them, by their time stamps, and what cannot be read is named."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_builders import videos
from data_builders.videos import Video, VideoError
from tests.helpers.videos import damaged, needs_av, noise, write

RED, GREEN = (200, 60, 30), (20, 160, 60)


def read(path: Path, every: int = 1):
    """The frames of a video, and the video once it is read."""
    with Video(path) as video:
        return list(video.frames(every)), video


def halves() -> Image.Image:
    """Red above green, 64 px wide and 48 high."""
    image = Image.new("RGB", (64, 48), RED)
    image.paste(GREEN, (0, 24, 64, 48))
    return image


@needs_av
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.webm", "a.avi"])
def test_every_nth_frame_with_its_time(name, tmp_path):
    codec = {".webm": "libvpx", ".avi": "mpeg4"}.get(Path(name).suffix, "libx264")
    pictures = [Image.new("RGB", (64, 48), (0, 0, 10 * i)) for i in range(24)]
    frames, video = read(write(tmp_path / name, pictures, codec=codec), every=10)
    assert [frame.number for frame in frames] == [0, 10, 20] and video.decoded == 24
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.4, 0.8], abs=0.05)  # AVI counts from 1
    for frame in frames:
        assert abs(int(np.asarray(frame.image)[20, 30, 2]) - 10 * frame.number) < 12
    assert not video.gaps and video.seconds == pytest.approx(0.96, abs=0.05)


@needs_av
def test_times_come_from_time_stamps_not_from_counting(tmp_path):
    times = [0, 40, 1000, 1040, 5000, 5010]
    frames, video = read(write(tmp_path / "a.mp4", [noise(i) for i in range(6)], times=times), every=2)
    assert [frame.seconds for frame in frames] == pytest.approx([0, 1, 5], abs=0.002)
    assert video.decoded == 6 and not video.gaps


@needs_av
@pytest.mark.parametrize(("rotation", "where"), [(0, "top"), (90, "left"), (-90, "right"), (180, "bottom")])
def test_a_turned_video_is_upright(rotation, where, tmp_path):
    frames, _ = read(write(tmp_path / "a.mp4", [halves()] * 2, rotation=rotation))
    pixels = np.asarray(frames[0].image).astype(int)
    assert pixels.shape[:2] == ((48, 64) if rotation in (0, 180) else (64, 48))
    height, width = pixels.shape[:2]
    spot = {"top": (4, 20), "left": (20, 4), "right": (20, width - 4), "bottom": (height - 4, 20)}[where]
    assert np.abs(pixels[spot] - RED).max() < 12


@needs_av
def test_pixels_that_are_not_square_are_made_so(tmp_path):
    frames, _ = read(write(tmp_path / "a.mp4", [halves()] * 2, ratio=Fraction(3, 2)))
    assert frames[0].image.size == (96, 48)


@needs_av
def test_colours_of_hd_are_those_of_hd(tmp_path):
    """Without a mark, players take BT.601 for small video and BT.709 from 720 lines on."""
    av = videos.av
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "1"})
        stream.width, stream.height, stream.pix_fmt = 32, 720, "yuv444p"
        frame = av.VideoFrame.from_image(Image.new("RGB", (32, 720), RED))
        container.mux(stream.encode(frame.reformat(format="yuv444p", dst_colorspace="ITU709")))
        container.mux(stream.encode())
    frames, _ = read(tmp_path / "a.mp4")
    assert np.abs(np.asarray(frames[0].image)[300, 10].astype(int) - RED).max() <= 3


@needs_av
@pytest.mark.parametrize(("curve", "named"), [(None, []), (16, ["(PQ)"]), (18, ["(HLG)"])])
def test_hdr_is_read_and_named(curve, named, tmp_path):
    frames, video = read(write(tmp_path / "a.mp4", [noise(i) for i in range(3)], curve=curve))
    assert len(frames) == 3 and len(video.notes) == len(named)
    assert all(word in note for word, note in zip(named, video.notes, strict=True))


@needs_av
def test_a_damaged_part_is_named_and_the_rest_is_read(tmp_path):
    path = write(tmp_path / "a.mp4", [noise(i // 2) for i in range(50)])
    damaged(path, 0.45, 1500)
    frames, video = read(path)
    (gap,) = video.gaps
    assert gap.reason == "damaged data" and 0.5 < gap.start < gap.end < 1.7
    times = [frame.seconds for frame in frames]
    assert times == sorted(times) and not any(gap.start < time < gap.end for time in times)
    assert times[0] == 0 and times[-1] > 1.9 and gap.end in times
    for frame in frames:  # nothing of the damage shows
        wanted = np.asarray(noise(round(frame.seconds * 25) // 2)).astype(int)
        assert np.abs(np.asarray(frame.image) - wanted).mean() < 25


@needs_av
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_truncated_video_ends_early(name, tmp_path):
    path = write(tmp_path / name, [noise(i) for i in range(100)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, video = read(path, 5)
    assert 4 <= len(frames) < 19
    gap = video.gaps[-1]
    assert frames[-1].seconds <= gap.start < gap.end == pytest.approx(4, abs=0.05)


@needs_av
def test_what_is_no_video_is_refused(tmp_path):
    av = videos.av
    files = {
        "text.mp4": b"no video at all",
        "empty.mp4": b"",
        "list.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "list.txt": b"ffconcat version 1.0\nfile a.mp4\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    halves().save(tmp_path / "photo.png")
    halves().save(tmp_path / "photo.jpg")
    for name in (*files, "photo.png", "photo.jpg"):
        with pytest.raises(VideoError, match=rf"{name} cannot be read as a video; give a video file"):
            Video(tmp_path / name)
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match=r"sound.mp4 has no video stream"):
        Video(tmp_path / "sound.mp4")
    with pytest.raises(VideoError, match="is not a file"):
        Video(tmp_path)


@needs_av
@pytest.mark.parametrize("length", [400, 1500])
def test_of_a_head_alone_nothing_is_read(length, tmp_path):
    path = write(tmp_path / "a.mp4", [noise(0)] * 30)
    path.write_bytes(path.read_bytes()[:length])
    frames, video = read(path)
    assert not frames and len(video.gaps) == 1 and video.gaps[0].end == pytest.approx(1.2)


@needs_av
def test_frames_too_large_for_the_memory_are_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4", [noise(0)])
    monkeypatch.setattr(videos, "MOST_PIXELS", 64 * 48 - 1)
    with pytest.raises(VideoError, match="frames of 64 x 48 pixels"):
        read(path)


def test_without_pyav_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(videos, "av", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install"):
        Video(tmp_path / "a.mp4")
