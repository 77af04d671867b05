"""Small accounts full of edge cases, drawn from a seed, in the form of `slow_reference`; and their arrays."""

import random

import numpy as np

from configs import full
from data_builders.features.features import Features
from data_builders.retrieval.memory_bank import account_images

DAY = 86400


def plain_choices() -> dict:
    """`config.data` as it stands in full.py."""
    return full.get_config().data.to_dict()


def draw_choices(rng: random.Random, carousel: str, exclude: str, by: str, past: float | None, includes: bool) -> dict:
    """Choices under test, the rest drawn; `past` is the lag in days under `past_only`, None without it."""
    options = plain_choices()
    w = rng.choice([(1 / 3, 1 / 3, 1 / 3), (0.5, 0.5, 0.0), (0.0, 0.3, 0.7), (1.0, 0.0, 0.0), (0.2, 0.0, 0.8)])
    options["similarity"] = dict(zip(("pose", "background", "caption"), w, strict=True))
    options["posts"].update(carousel=carousel, min_age_days=rng.choice([0, 0, 2.5, 7]))
    options["groups"].update(
        window_days=rng.choice([7, 7, 3, 1.5]), min_images=rng.choice([2, 2, 3]), max_images=rng.choice([30, 4, 6])
    )
    options["pairs"]["min_ratio"] = rng.choice([2, 2, 1.2])
    options["split"].update(by=by, seed=rng.randrange(1000))
    options["memory"].update(
        exclude=exclude,
        past_only=past is not None,
        min_lag_days=7.0 if past is None else past,
        window_days=rng.choice([30, 10, 3.3]),
        mean_includes_retrieved=includes,
    )
    options["retrieval"]["k"] = rng.choice([1, 3, 5, 40])
    return options


def draw_account(rng: random.Random, carousel: str) -> list[dict]:
    """Posts with tied times and likes, gaps of exactly a window, and images that repeat features of others."""
    posts, drawn, time = [], [], 1_500_000_000
    for number in range(rng.randint(2, 30)):
        time += rng.choice([0, DAY, 2 * DAY, 7 * DAY, 3 * DAY, rng.randrange(4 * DAY)])
        length = rng.choice([1, 1, 2, 3, 5]) if carousel == "all" else 1
        images = []
        for _ in range(length):
            same = rng.choice(drawn) if drawn and rng.random() < 0.3 else draw_image(rng)
            images.append({**same, "id": f"{rng.randrange(10**6)}_{number}_{len(images)}"})
        drawn.extend(images)
        likes = rng.choice([1, 2, 3, 5, 100, rng.randint(1, 10**9)])
        posts.append({"id": f"{rng.randrange(10**4)}-{number}", "time": time, "likes": likes, "images": images})
    return sorted(posts, key=lambda p: (p["time"], p["id"]))


def draw_image(rng: random.Random) -> dict:
    width, height = rng.choice([(100, 80), (64, 64), (30, 200)])
    people = []
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        x0, y0 = rng.randrange(width), rng.randrange(height)
        box = (x0, y0, x0 + rng.choice([0, 10, 60]), y0 + rng.choice([8, 50]))
        hidden = rng.choice([0.0, 0.3, 0.3, 1.0])
        scores = [0.0 if rng.random() < hidden else _f32(rng.random()) for _ in range(17)]
        people.append(([(*_near(rng, box), score) for score in scores], box))
    vectors = [[0.0] * 4 if rng.random() < 0.1 else [_f32(rng.gauss(0.3, 1)) for _ in range(4)] for _ in range(2)]
    return {"width": width, "height": height, "people": people, "background": vectors[0], "caption": vectors[1]}


def as_features(images: list[dict]) -> Features:
    """The images' features as arrays."""
    most = max((len(image["people"]) for image in images), default=0)
    keypoints = np.full((len(images), most, 17, 3), 7.0, np.float32)  # padding must not be read
    boxes = np.full((len(images), most, 4), 7.0, np.float32)
    for i, image in enumerate(images):
        for p, (points, box) in enumerate(image["people"]):
            keypoints[i, p], boxes[i, p] = points, box
    return Features(
        keypoints=keypoints,
        boxes=boxes,
        people=np.array([len(image["people"]) for image in images], np.int32),
        width=np.array([image["width"] for image in images], np.int32),
        height=np.array([image["height"] for image in images], np.int32),
        background=np.array([image["background"] for image in images], np.float32),
        caption=np.array([image["caption"] for image in images], np.float32),
    )


def as_arrays(account: str, posts: list[dict], options: dict):
    """(AccountImages, KeptGroups, Features) of an account."""
    images, kept = account_images(
        account,
        [p["id"] for p in posts],
        [p["time"] for p in posts],
        [p["likes"] for p in posts],
        [[image["id"] for image in p["images"]] for p in posts],
        options,
    )
    return images, kept, as_features([image for p in posts for image in p["images"]])


def _near(rng: random.Random, box: tuple) -> tuple[float, float]:
    """A point at one of a few places of the box, so that keypoints of two people often meet."""
    x0, y0, x1, y1 = box
    return (
        _f32(x0 + (x1 - x0) * rng.choice([0.2, 0.25, 0.3, 0.7])),
        _f32(y0 + (y1 - y0) * rng.choice([0.1, 0.15, 0.5, 0.8])),
    )


def _f32(value: float) -> float:
    """The number that a float32 store would give back."""
    return float(np.float32(value))
