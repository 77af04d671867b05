"""The paper's silent choices, each as one field over full.py: what the table of choices runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ipa_jax.experiments.runs import Run, World


@dataclass(frozen=True)
class Choice:
    """An alternative.

    Attributes:
      name: of its records.
      label: as printed.
      fields: over the config.
      config: a file of configs/.
      other_resnet: its ResNet starts from the full run of another world.
      posts: how posts are pooled before pairs are judged (post_scores.POOLS); None: images are judged.
    """

    name: str
    label: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    config: str = "full"
    other_resnet: bool = False
    posts: str | None = None


@dataclass(frozen=True)
class Question:
    """What the paper leaves open: the field, what full.py has, and what it might be instead."""

    text: str
    field: str
    default: str
    instead: tuple[Choice, ...]


DEFAULT = Choice("full", "as full.py has it")
OURS = Choice("ours", "configs/ours.py", config="ours")
ALL_IMAGES = Choice(
    "carousel_all", "`all`, posts judged by the mean z of their images", {"data.posts.carousel": "all"}, posts="mean"
)
QUESTIONS = (
    Question("Loss (7)", "loss.name", "`ratio_share`", (
        Choice("loss_ratio_log", "`ratio_log`", {"loss.name": "ratio_log"}),
        Choice("loss_ratio_raw", "`ratio_raw`", {"loss.name": "ratio_raw"}),
        Choice("log_likes", "`log_likes`", config="log_likes"),
    )),
    Question("Retrieval as tokens", "model.retrieval.tokens", "`vector`", (
        Choice("tokens_per_image", "`per_image`", {"model.retrieval.tokens": "per_image"}),
    )),
    Question("Local score or its log", "model.retrieval.log_local", "the score", (
        Choice("log_local", "its log", {"model.retrieval.log_local": True}),
    )),
    Question("Posts behind a mean", "model.retrieval.feed_count", "not fed", (
        Choice("feed_count", "fed", {"model.retrieval.feed_count": True}),
    )),
    Question("r in its own mean (2)", "data.memory.mean_includes_retrieved", "in", (
        Choice("mean_without_r", "out", {"data.memory.mean_includes_retrieved": False}),
    )),
    Question("Depth ResNet", "model.depth.resnet", "`train`", (
        Choice("depth_frozen", "`frozen`", {"model.depth.resnet": "frozen"}, other_resnet=True),
        Choice("depth_cached", "`cached`", {"model.depth.resnet": "cached"}, other_resnet=True),
    )),
    Question("Masks (6)", "model.depth.views", "`tokens`", (
        Choice("views_channels", "`channels`", {"model.depth.views": "channels"}),
    )),
    Question("K", "data.retrieval.k", "5", (Choice("k_10", "10", {"data.retrieval.k": 10}),)),
    Question("Window X (2)", "data.memory.window_days", "30 days", (
        Choice("window_90", "90 days", {"data.memory.window_days": 90.0}),
    )),
    Question("Weights of S (1)", "data.similarity", "1/3 each", (
        Choice("similarity_pose", "pose 1/2, background 1/4, caption 1/4", {
            "data.similarity.pose": 0.5, "data.similarity.background": 0.25, "data.similarity.caption": 0.25,
        }),
    )),
    Question("Carousels", "data.posts.carousel", "`first`", (
        Choice("carousel_skip", "`skip`", {"data.posts.carousel": "skip"}),
        ALL_IMAGES,
    )),
)  # fmt: skip
CHOICES = (DEFAULT, *(choice for question in QUESTIONS for choice in question.instead), OURS)

BANKS = (0, 1, 5, 20, 80)  # data.memory.max_posts of the runs of short histories
FULL_BANK = 5  # posts that leave none of the K slots free


def _capped(posts: int, fallback: str) -> Choice:
    fields = {"data.memory.max_posts": posts}
    if fallback == "none":
        return Choice(f"bank_{posts}", f"{posts} posts", fields)
    return Choice(f"bank_{posts}_filled", f"{posts} posts, filled", fields | {"data.memory.fallback": fallback})


# What is filled are free slots: of a bank of K posts or more there is none, and nothing to run.
SHORT_HISTORIES = (
    DEFAULT,
    *(_capped(posts, "none") for posts in BANKS),
    *(_capped(posts, "cross_account") for posts in BANKS if posts < FULL_BANK),
)


def runs_of(choices: Sequence[Choice], seeds: Sequence[int], accounts: int, posts: int, size: str) -> list[Run]:
    """The runs of some choices, one a choice and world, world by world; training seed = world seed."""
    worlds = [World(seed, accounts, posts) for seed in seeds]
    runs = []
    for world in worlds:
        for choice in choices:
            source = Run(DEFAULT.name, DEFAULT.config, {}, world.next, size=size) if choice.other_resnet else None
            runs.append(Run(choice.name, choice.config, choice.fields, world, size=size, resnet=source))
    return runs
