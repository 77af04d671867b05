"""The words around a photo: the poster's caption, the followers' comments, and what a captioning network would say."""

from collections.abc import Sequence

import numpy as np

from data_builders.demo_world.likes import ATTRIBUTES

SCENE_WORDS = (
    ("beach", "sea", "sand", "ocean"),
    ("forest", "woods", "trees", "green"),
    ("mountains", "peaks", "hike", "alps"),
    ("city", "downtown", "street", "skyline"),
    ("home", "living room", "indoors", "cozy"),
    ("desert", "dunes", "sunset", "heat"),
    ("snow", "winter", "frost", "cold"),
    ("night", "stars", "late", "city lights"),
)
POSE_WORDS = (
    ("standing", "posing"),
    ("cheering", "happy"),
    ("walking", "on the move"),
    ("sitting", "resting"),
    ("yoga", "balance"),
    ("lying down", "nap"),
)
OBJECT_WORDS = (
    ("dog", "puppy", "good boy"),
    ("car", "road trip", "ride"),
    ("parasol", "shade"),
    ("bike", "bicycle", "cycling"),
    ("guitar", "music", "song"),
    ("flowers", "bloom", "plant"),
)
WORDS = (SCENE_WORDS, POSE_WORDS, OBJECT_WORDS)
_OPENINGS = ("", "today: ", "finally, ", "throwback to ", "can't get enough of ", "mood: ", "weekend plans: ")
_CLOSINGS = ("", " ❤️", " ✨", " 😂", "!", " ...", " 🙌🏽")
_TAGS = ("love", "instagood", "photooftheday", "life", "ootd", "happy", "nofilter")
PRAISE = ("love this!", "so beautiful 😍", "wow", "goals", "🔥🔥🔥", "great shot", "need this", "amazing", "❤️")
LUKEWARM = ("where is this?", "miss you!", "haha", "first", "hm ok", "old pic?")
_STEEPNESS = 1.5  # how fast praise grows with success
_MOST_SHOWN = 4  # texts
_ACTIVITY = ("standing", "cheering", "walking", "sitting", "doing yoga", "lying")


def caption(kind: Sequence[int], wrong: float, rng: np.random.Generator) -> str:
    """A poster's caption: words for scene, pose and object, then hashtags. One in twenty is empty.

    Args:
      kind: numbers of scene, pose and object.
      wrong: the share of words that name something else.
      rng: of the words.
    """
    if rng.uniform() < 0.05:
        return ""
    words = [_word(attribute, kind[attribute], wrong, rng) for attribute in range(3) if rng.uniform() < 0.7]
    tags = [word.replace(" ", "") for word in words if rng.uniform() < 0.6]
    tags += [_pick(_TAGS, rng) for _ in range(rng.integers(0, 3))]
    text = _pick(_OPENINGS, rng) + " and ".join(words) + _pick(_CLOSINGS, rng)
    return (text + " " + " ".join(f"#{tag}" for tag in tags)).strip()


def comments(likes: int, success: float, rng: np.random.Generator, texts: np.random.Generator) -> tuple[int, list[str]]:
    """The number of comments, and the texts of the first few. The texts tell how well the post did, chance included.

    Args:
      likes: of the post; the number of comments grows with them.
      success: the post's effects on log likes, in standard deviations. The better the post did, the more texts are
        PRAISE rather than LUKEWARM, and the more of them are shown, 1 to 4.
      rng: of the number. It also draws numbers that nothing uses: an older version took the texts from it, and later
        draws must stay the same.
      texts: of the texts.
    """
    count = int(rng.poisson(0.012 * likes * np.exp(0.3 * rng.normal())))
    for _ in range(min(count, int(rng.integers(0, 4)))):
        rng.integers(12)
    praise = 1 / (1 + np.exp(-_STEEPNESS * success))
    shown = min(count, 1 + int(texts.binomial(_MOST_SHOWN - 1, praise)))
    return count, [_pick(PRAISE if texts.uniform() < praise else LUKEWARM, texts) for _ in range(shown)]


def machine_caption(kind: Sequence[int], wrong: float, rng: np.random.Generator) -> str:
    """What a captioning network would say, with a share `wrong` of wrong words."""
    scene, pose, thing = (
        int(rng.integers(len(values))) if rng.uniform() < wrong else value
        for values, value in zip(ATTRIBUTES, kind, strict=True)
    )
    return f"a person {_ACTIVITY[pose]} with a {OBJECT_WORDS[thing][0]} ({SCENE_WORDS[scene][0]})"


def _word(attribute: int, value: int, wrong: float, rng: np.random.Generator) -> str:
    words = WORDS[attribute]
    return _pick(words[int(rng.integers(len(words)))] if rng.uniform() < wrong else words[value], rng)


def _pick(values: Sequence[str], rng: np.random.Generator) -> str:
    return values[int(rng.integers(len(values)))]
