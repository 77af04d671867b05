"""Draws what the pictures of docs/applications.md show: a video, and a set of photos with prompts.

Run: python docs/images/drawn_inputs.py --out drawn

It writes OUT/video.mp4, 14 shots of 3 s with a slow zoom and a damaged place, and OUT/generated, 16 photos whose
prompts stand in text files, in PNG parameters of Stable Diffusion web UI, or in a graph of ComfyUI. Everything is drawn
by the demo world, so `ipa-jax rank --demo` gives the history of an account to rank them by. Needs PyAV: pip install av.
"""

import argparse
import json
from pathlib import Path

import av
import numpy as np
from PIL import Image, PngImagePlugin

from data_builders.demo_world.draw import draw
from data_builders.demo_world.likes import OBJECTS, POSES, SCENES

SIDE, RATE, SHOT_SECONDS = 448, 25, 3
SHOTS = ("room", "beach", "beach", "night", "city", "forest", "mountains", "snow", "beach", "room", "desert", "city",
         "night", "beach")  # fmt: skip
ZOOM = 0.16  # of the side, over a shot
PROMPTS = {  # scene, pose and object of a prompt
    "a person walking on a sunny beach, car, red balloon, illustration": ("beach", "striding", "car"),
    "living room, cheering person, parasol, balloon, flat colours": ("room", "cheering", "parasol"),
    "yoga at night in front of city lights, guitar, starry sky": ("night", "balancing", "guitar"),
}
EACH, ALONE = 4, 4  # photos of a prompt, and without one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    out = parser.parse_args().out
    (out / "generated").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    _video(out / "video.mp4", rng)
    _generated(out / "generated", rng)
    print(f"{out / 'video.mp4'} and {out / 'generated'}")


def _picture(scene: str, pose: str, thing: str, rng: np.random.Generator, side: int) -> Image.Image:
    kind = (list(SCENES).index(scene), list(POSES).index(pose), list(OBJECTS).index(thing))
    return Image.fromarray(draw(kind, int(rng.integers(3)), rng.uniform(-1, 1, 6), False, rng, side).rgb)


def _video(path: Path, rng: np.random.Generator) -> None:
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "20"})
        stream.width = stream.height = SIDE
        stream.pix_fmt, stream.gop_size = "yuv420p", 2 * RATE
        for scene in SHOTS:
            shot = _picture(scene, str(rng.choice(list(POSES))), str(rng.choice(list(OBJECTS))), rng, SIDE)
            frames = RATE * SHOT_SECONDS
            for number in range(frames):
                cut = ZOOM / 2 * SIDE * number / frames
                box = (cut, cut, SIDE - cut, SIDE - cut)
                frame = shot.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box)
                container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())
    content = bytearray(path.read_bytes())
    at = int(0.72 * len(content))
    content[at : at + 4000] = rng.integers(0, 256, 4000, np.uint8).tobytes()
    path.write_bytes(content)


def _generated(folder: Path, rng: np.random.Generator) -> None:
    number = 0
    for which, (prompt, (scene, pose, thing)) in enumerate(PROMPTS.items()):
        for _ in range(EACH):
            number += 1
            file, texts = folder / f"{number:05}.png", PngImagePlugin.PngInfo()
            if which == 0:
                file.with_suffix(".txt").write_text(prompt + "\n")
            elif which == 1:
                steps = f"Steps: 25, Sampler: Euler a, CFG scale: 7, Seed: {number}, Size: {SIDE}x{SIDE}"
                texts.add_text("parameters", f"{prompt}\nNegative prompt: blurry\n{steps}")
            else:
                texts.add_text("prompt", json.dumps(_graph(prompt, number)))
            _picture(scene, pose, thing, rng, SIDE).save(file, pnginfo=texts)
    for _ in range(ALONE):
        number += 1
        scene, pose, thing = (str(rng.choice(list(names))) for names in (SCENES, POSES, OBJECTS))
        _picture(scene, pose, thing, rng, SIDE).save(folder / f"{number:05}.png")


def _graph(prompt: str, seed: int) -> dict:
    """A text-to-image graph as ComfyUI saves it."""
    return {
        "3": {"class_type": "KSampler", "inputs": {"seed": seed, "positive": ["6", 0], "negative": ["7", 0]}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": prompt, "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
    }


if __name__ == "__main__":
    main()
