"""Memory and time of `ipa-jax thumbnail` on a long video, beside a short one: frames are streamed, never kept.

Run: python -m benchmarks.long_video [--minutes 10 120] [--every 25] [--short]

It encodes a small made-up video of 25 frames per second whose pictures change every second, and scores it by a tiny
untrained export, so that reading and keeping frames is what is measured, and not a network. Each run is a process of
its own. Needs PyAV: pip install av.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

NEEDS = ("av",)

os.environ.setdefault("JAX_PLATFORMS", "cpu")

RATE, WIDTH, HEIGHT = 25, 160, 90


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 120], help="lengths (default: 10 120)")
    parser.add_argument("--every", type=int, default=25, help="score one frame in N (default: 25)")
    parser.add_argument("--short", action="store_true", help="1 and 3 minutes")
    args = parser.parse_args()
    if args.short:
        args.minutes = [1, 3]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _export(folder / "export")
        lines = []
        for minutes in args.minutes:
            _encode(folder / "video.mp4", round(minutes * 60))
            lines.append(f"{minutes:g} minutes: " + _measured(folder, args.every))
            (folder / "video.mp4").unlink()
    print(*lines, sep="\n")


def _export(path: Path) -> None:
    from configs import basic
    from ipa_jax.training.export import save_export
    from ipa_jax.training.initial import initial_variables

    config = basic.get_config("tiny")
    config.input.update({"resize": 24, "crop": 24})
    config.model.swin.update({"depths": (1,), "heads": (2,)})
    data = {"statistics": {"train": {"images": 1, "groups": 1, "pairs": 1}}}
    save_export(path, initial_variables(config), config, data, "an untrained export")


def _encode(path: Path, seconds: int) -> None:
    import av
    import numpy as np

    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", 10 * RATE
        for _ in range(seconds):
            blocks = rng.integers(0, 255, (9, 16, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(np.kron(blocks, np.ones((10, 10, 1), np.uint8)), "rgb24")
            for _ in range(RATE):
                frame.pts = None
                container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _measured(folder: Path, every: int) -> str:
    """Runs the command and says how many frames it scored, in which time, with which memory."""
    line = ["-m", "ipa_jax", "thumbnail", f"--video={folder}/video.mp4", f"--export={folder}/export",
            f"--out={folder}/out", f"--every={every}"]  # fmt: skip
    process = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, *line])
    _, status, used = os.wait4(process, 0)
    if status:
        raise SystemExit("the command failed")
    frames = sum(1 for _ in (folder / "out/thumbnail.csv").open()) - 1
    memory = used.ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)
    return f"{frames} frames scored in {used.ru_utime + used.ru_stime:.0f} CPU seconds, {memory:.0f} MB at most"


if __name__ == "__main__":
    main()
