"""Who posts what and when, and how many likes it gets: followers x exp(universal + taste + depth + noise).

Everything here depends on (seed, account) alone, not on the number of processes or the image size.
"""

from dataclasses import dataclass

import numpy as np

from data_builders.demo_world.parameters import Parameters

SCENES = ("beach", "forest", "mountains", "city", "room", "desert", "snow", "night")
POSES = ("standing", "cheering", "striding", "sitting", "balancing", "lying")
OBJECTS = ("dog", "car", "parasol", "bicycle", "guitar", "flowers")
LAYERS = ("near", "middle", "far")
ATTRIBUTES = (SCENES, POSES, OBJECTS)

# What a post looks like, each uniform in [-1, 1], with its weight among the universal effects.
LOOKS = {"exposure": 0.5, "contrast": 0.3, "saturation": 0.5, "warmth": 0.4, "figure_size": 0.35, "off_centre": 0.35}
LAYER_EFFECT = np.array([1.0, 0.0, -1.0]) * np.sqrt(1.5)  # sd 1 over the three layers

DAY = 86_400
FIRST_DAY = 1_546_300_800  # 2019-01-01
_WORLD, _ACCOUNT = range(2)  # streams of random numbers


@dataclass(frozen=True)
class Post:
    """A post: what its images show, and the terms of its log likes.

    Attributes:
      number: of the post within its account, good posts first. It seeds the drawing, with the image's number.
      time: UTC seconds.
      kind: numbers of scene, pose and object.
      layer: of the balloon: 0 near, 1 middle, 2 far.
      look: [len(LOOKS)] in [-1, 1].
      followers, universal, taste, depth, noise: the terms of log likes.
      images: number of images. Those of a carousel show the same kind, layer and look.
      drawn_as: number of the post whose photo this one shows again; None for a photo of its own.
    """

    number: int
    time: int
    kind: tuple[int, int, int]
    layer: int
    look: np.ndarray
    followers: float
    universal: float
    taste: float
    depth: float
    noise: float
    images: int
    drawn_as: int | None = None

    @property
    def effects(self) -> float:
        """What the post itself adds to log likes, chance included: log likes without the account's level."""
        return self.universal + self.taste + self.depth + self.noise

    @property
    def likes(self) -> int:
        """Likes of the post, at least 1."""
        return max(1, round(float(np.exp(self.followers + self.universal + self.taste + self.depth + self.noise))))


@dataclass(frozen=True)
class Account:
    """An account. `posts` are sorted by time; `extra` are the posts that defects are planted on."""

    number: int
    followers: int  # at the last post
    posts: list[Post]
    extra: list[Post]


def appeal(seed: int) -> list[np.ndarray]:
    """What all followers of all accounts think of each scene, pose and object: mean 0, sd 1 per attribute."""
    rng = np.random.default_rng([seed, _WORLD])
    return [_standard(rng.normal(size=len(values))) for values in ATTRIBUTES]


def draw_account(seed: int, number: int, posts: int, extra: int, parameters: Parameters) -> Account:
    """Draws an account with `posts` good posts, and `extra` posts between them to plant defects on.

    The good posts do not depend on `extra`.
    """
    p = parameters
    rng = np.random.default_rng([seed, _ACCOUNT, number])
    rate = p.posts_per_day * np.exp(p.rate_spread * rng.normal())
    level = np.log(p.followers) + p.followers_spread * rng.normal()
    start = FIRST_DAY + rng.uniform(0, 60 * DAY)
    tastes = [p.taste / np.sqrt(3) * _standard(rng.normal(size=len(values))) for values in ATTRIBUTES]
    themes = np.stack([rng.permutation(len(values))[: p.themes] for values in ATTRIBUTES], axis=1)
    days = np.cumsum(rng.exponential(1 / rate, size=posts))
    world = _Effects(p, appeal(seed), tastes, themes, level, start)
    good = [world.draw_post(rng, i, days[i]) for i in range(posts)]
    more = [world.draw_post(rng, posts + i, rng.uniform(0, days[-1])) for i in range(extra)]
    return Account(number, round(np.exp(level + p.growth * days[-1])), good, more)


@dataclass(frozen=True)
class _Effects:
    """What all posts of an account share."""

    parameters: Parameters
    appeal: list[np.ndarray]
    tastes: list[np.ndarray]
    themes: np.ndarray
    level: float
    start: float

    def draw_post(self, rng: np.random.Generator, number: int, day: float) -> Post:
        p = self.parameters
        kind = self.themes[rng.integers(len(self.themes))].copy()
        swapped, attribute = rng.uniform() >= p.theme_share, rng.integers(3)
        other = rng.integers(1, len(ATTRIBUTES[attribute]))
        if swapped:
            kind[attribute] = (kind[attribute] + other) % len(ATTRIBUTES[attribute])
        layer = int(rng.integers(len(LAYERS)))
        look = rng.uniform(-1, 1, size=len(LOOKS))
        weights = np.array(list(LOOKS.values()))
        seen = np.sqrt(3) * look @ weights / np.linalg.norm(weights)
        liked = sum(table[value] for table, value in zip(self.appeal, kind, strict=True)) / np.sqrt(3)
        carousel, length = rng.uniform() < p.carousels, int(rng.integers(2, 5))
        scene, pose, thing = (int(value) for value in kind)
        return Post(
            number=number,
            time=int(self.start + day * DAY),
            kind=(scene, pose, thing),
            layer=layer,
            look=look,
            followers=float(np.log(p.engagement) + self.level + p.growth * day),
            universal=float(p.universal * (np.sqrt(1 - p.kind_share) * seen + np.sqrt(p.kind_share) * liked)),
            taste=float(sum(table[value] for table, value in zip(self.tastes, kind, strict=True))),
            depth=float(p.depth * LAYER_EFFECT[layer]),
            noise=float(p.noise * rng.normal()),
            images=length if carousel else 1,
        )


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()
