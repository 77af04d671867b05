"""Every size of the demo world; `--set name=value` changes one."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any


def _size(default: float, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Parameters:
    """Effects are standard deviations of log likes (natural logs), shares and rates lie in [0, 1]."""

    universal: float = _size(0.216, "effect of what every account's followers like: grading, composition, kind")
    kind_share: float = _size(0.25, "share of the universal variance that hangs on scene, pose and object")
    taste: float = _size(0.342, "effect of what one account's followers like: its scenes, poses and objects")
    depth: float = _size(0.171, "effect of the depth of the balloon, which only the depth map shows")
    noise: float = _size(0.315, "effect of chance: nothing can know it")
    followers: float = _size(30_000.0, "median followers of an account at its first post")
    followers_spread: float = _size(0.8, "sd of log followers over accounts")
    engagement: float = _size(0.03, "likes of an average post over followers")
    growth: float = _size(0.002, "growth of followers a day")
    posts_per_day: float = _size(0.46, "median posting rate")
    rate_spread: float = _size(0.45, "sd of the log posting rate over accounts")
    themes: int = _size(4, "themes (scene, pose, object) of an account; 1 to 6")
    theme_share: float = _size(0.95, "share of posts that follow a theme; the others swap one attribute")
    carousels: float = _size(0.08, "share of posts with two to four images")
    bystanders: float = _size(0.15, "share of images with a second, smaller figure")
    people_missed: float = _size(0.02, "share of images in which the pose extractor finds nobody")
    keypoint_noise: float = _size(0.008, "sd of a keypoint's error over the figure's height")
    background_noise: float = _size(0.6, "length of the background vector's noise over its length without")
    caption_noise: float = _size(0.8, "length of the caption vector's noise over its length without")
    wrong_words: float = _size(0.1, "share of caption words that name something else")
    vector_size: int = _size(32, "length of background and caption vectors")
    sponsored: float = _size(0.08, "share of sponsored posts")
    tagged: float = _size(0.2, "people that a post tags, on average")
    constant_accounts: int = _size(1, "accounts of constant 3 likes, at most one in eight")
    silent_accounts: int = _size(1, "accounts in influencers.txt, on top of the others, without any post")
    info_missing: float = _size(0.035, "posts without .info file, planted beside the good ones, as a share of them")
    info_empty: float = _size(0.002, "the same with an empty one")
    info_broken: float = _size(0.002, "with one that is cut off")
    video: float = _size(0.005, "videos")
    likes_hidden: float = _size(0.003, "with -1 likes")
    likes_missing: float = _size(0.002, "without a like count")
    likes_below_1: float = _size(0.002, "with 0 likes")
    no_timestamp: float = _size(0.001, "without a time")
    image_missing: float = _size(0.002, "without the image file")
    first_image_missing: float = _size(0.001, "carousels without their first image file")
    image_unreadable: float = _size(0.002, "whose image file is cut off or holds something else")
    duplicate_post: float = _size(0.002, "that are another post once more, under another id")
    duplicate_row: float = _size(0.005, "mapping rows repeated word by word")
    no_features: float = _size(0.001, "whose image the feature store lacks")

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not (isinstance(value, int | float) and 0 <= value < float("inf")):
                raise ValueError(f"--set {each.name}={value}: must be a number of 0 or more")
        if not 1 <= self.themes <= 6:
            raise ValueError(f"--set themes={self.themes}: must be 1 to 6 (there are six poses and six objects)")
        for name in ("followers", "engagement", "posts_per_day", "vector_size"):
            if getattr(self, name) == 0:
                raise ValueError(f"--set {name}=0: must be above 0")

    @property
    def effects_sd(self) -> float:
        """Standard deviation of a post's log likes around its account's level."""
        return math.hypot(self.universal, self.taste, self.depth, self.noise)


def parse(settings: Iterable[str]) -> Parameters:
    """Parameters from `name=value` texts. Raises ValueError for an unknown name or a value that is no number."""
    kinds = {each.name: type(each.default) for each in fields(Parameters)}
    values = {}
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign or name not in kinds:
            raise ValueError(f"--set {setting}: write name=value with one of the names that --set help lists")
        try:
            values[name] = kinds[name](text)
        except ValueError:
            raise ValueError(f"--set {setting}: {text!r} is no {kinds[name].__name__}") from None
    return Parameters(**values)


def describe() -> str:
    """The list that `--set help` prints: name, default, meaning."""
    return "\n".join(f"  {f'{each.name}={each.default}':<26} {each.metadata['help']}" for each in fields(Parameters))
