"""The sizes of the demo world. `--set name=value` changes one."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any


def _size(default: float, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Parameters:
    """The sizes of a world. Effects are standard deviations of log likes (natural logarithm); shares are in [0, 1].

    Raises:
      ValueError: a value is out of its range.
    """

    universal: float = _size(0.216, "effect of what every account's followers like: grading, composition, kind")
    kind_share: float = _size(0.25, "share of the universal variance that comes from scene, pose and object")
    taste: float = _size(0.342, "effect of what one account's followers like: its scenes, poses and objects")
    depth: float = _size(0.171, "effect of the depth of the balloon, which only the depth map shows")
    noise: float = _size(0.315, "effect of chance, which nobody can predict")
    followers: float = _size(30_000.0, "median followers of an account at its first post")
    followers_spread: float = _size(0.8, "sd of log followers over accounts")
    engagement: float = _size(0.03, "likes of an average post, as a share of followers")
    growth: float = _size(0.002, "growth of log followers per day")
    posts_per_day: float = _size(0.46, "median posting rate")
    rate_spread: float = _size(0.45, "sd of the log posting rate over accounts")
    themes: int = _size(4, "themes (scene, pose, object) of an account; 1 to 6")
    theme_share: float = _size(0.95, "share of posts that follow a theme; the others swap one attribute")
    carousels: float = _size(0.08, "share of posts with two to four images")
    bystanders: float = _size(0.15, "share of images with a second, smaller figure")
    people_missed: float = _size(0.02, "share of images in which the pose extractor finds nobody")
    keypoint_noise: float = _size(0.008, "sd of a keypoint's error, as a share of the figure's height")
    background_noise: float = _size(0.6, "length of the background vector's noise, relative to the vector")
    caption_noise: float = _size(0.8, "length of the caption vector's noise, relative to the vector")
    wrong_words: float = _size(0.1, "share of caption words that name something else")
    vector_size: int = _size(32, "number of entries of background and caption vectors")
    sponsored: float = _size(0.08, "share of sponsored posts")
    tagged: float = _size(0.2, "people that a post tags, on average")
    constant_accounts: int = _size(1, "accounts whose posts all have 3 likes, at most one in eight")
    silent_accounts: int = _size(1, "more accounts in influencers.txt, without any post")
    info_missing: float = _size(0.035, "added posts without .info file, as a share of the good posts")
    info_empty: float = _size(0.002, "added posts with an empty .info file")
    info_broken: float = _size(0.002, "added posts whose .info file is cut off")
    video: float = _size(0.005, "added videos")
    likes_hidden: float = _size(0.003, "added posts with -1 likes")
    likes_missing: float = _size(0.002, "added posts without a like count")
    likes_below_1: float = _size(0.002, "added posts with 0 likes")
    no_timestamp: float = _size(0.001, "added posts without a time")
    image_missing: float = _size(0.002, "added posts without their image file")
    first_image_missing: float = _size(0.001, "added carousels without their first image file")
    image_unreadable: float = _size(0.002, "added posts whose image file is cut off or not an image")
    duplicate_post: float = _size(0.002, "added posts that repeat another post under another id")
    duplicate_row: float = _size(0.005, "added rows of the mapping that repeat another row")
    no_features: float = _size(0.001, "added posts whose image the feature store lacks")

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not (isinstance(value, int | float) and 0 <= value < float("inf")):
                raise ValueError(f"--set {each.name}={value}: set it to a number of 0 or more")
        if not 1 <= self.themes <= 6:
            raise ValueError(f"--set themes={self.themes}: set it to 1 to 6 (there are six poses and six objects)")
        for name in ("followers", "engagement", "posts_per_day", "vector_size"):
            if getattr(self, name) == 0:
                raise ValueError(f"--set {name}=0: set it above 0")

    @property
    def effects_sd(self) -> float:
        """Standard deviation of a post's log likes around its account's level."""
        return math.hypot(self.universal, self.taste, self.depth, self.noise)


def parse(settings: Iterable[str]) -> Parameters:
    """Parameters from `name=value` texts. Raises ValueError for an unknown name or a wrong value."""
    kinds = {each.name: type(each.default) for each in fields(Parameters)}
    values = {}
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign or name not in kinds:
            raise ValueError(f"--set {setting}: write name=value with one of the names that --set help lists")
        try:
            values[name] = kinds[name](text)
        except ValueError:
            raise ValueError(
                f"--set {setting}: {text!r} is not {'a whole number' if kinds[name] is int else 'a number'}"
            ) from None
    return Parameters(**values)


def describe() -> str:
    """The list that `--set help` prints: name, default, meaning."""
    return "\n".join(f"  {f'{each.name}={each.default}':<26} {each.metadata['help']}" for each in fields(Parameters))
