"""What the paper leaves open. Each alternative changes one field of configs/full.py."""

from dataclasses import dataclass

from ipa_jax.experiments.study import FULL, Row


@dataclass(frozen=True)
class Choice(Row):
    """An alternative.

    Attributes:
      posts: how images are pooled into posts before pairs are judged (metrics.posts.POOLS); None judges images.
    """

    posts: str | None = None


@dataclass(frozen=True)
class Question:
    """Something that the paper leaves open.

    Attributes:
      text: what it is, with the number of its equation.
      field: the config field.
      default: the value in configs/full.py, as printed.
      instead: the alternatives.
    """

    text: str
    field: str
    default: str
    instead: tuple[Choice, ...]


DEFAULT = Choice(FULL, "as in full.py")
OURS = Choice("ours", "configs/ours.py", "ours")
ALL_IMAGES = Choice(
    "carousel_all",
    "`all`, posts judged by the mean z of their images",
    fields={"data.posts.carousel": "all"},
    posts="mean",
)
QUESTIONS = (
    Question("Loss (7)", "loss.name", "`ratio_share`", (
        Choice("loss_ratio_log", "`ratio_log`", fields={"loss.name": "ratio_log"}),
        Choice("loss_ratio_raw", "`ratio_raw`", fields={"loss.name": "ratio_raw"}),
        Choice("log_likes", "`log_likes`", "log_likes"),
    )),
    Question("Retrieval as tokens", "model.retrieval.tokens", "`vector`", (
        Choice("tokens_per_image", "`per_image`", fields={"model.retrieval.tokens": "per_image"}),
    )),
    Question("Local score (3)", "model.retrieval.log_local", "as it is", (
        Choice("log_local", "its log", fields={"model.retrieval.log_local": True}),
    )),
    Question("Number of posts in a mean (2) as an input", "model.retrieval.feed_count", "no", (
        Choice("feed_count", "yes", fields={"model.retrieval.feed_count": True}),
    )),
    Question("Retrieved post in its own mean (2)", "data.memory.mean_includes_retrieved", "yes", (
        Choice("mean_without_r", "no", fields={"data.memory.mean_includes_retrieved": False}),
    )),
    Question("Depth ResNet", "model.depth.resnet", "`train`", (
        Choice("depth_frozen", "`frozen`", fields={"model.depth.resnet": "frozen"}, other_resnet=True),
        Choice("depth_cached", "`cached`", fields={"model.depth.resnet": "cached"}, other_resnet=True),
    )),
    Question("Masks (6)", "model.depth.views", "`tokens`", (
        Choice("views_channels", "`channels`", fields={"model.depth.views": "channels"}),
    )),
    Question("K", "data.retrieval.k", "5", (Choice("k_10", "10", fields={"data.retrieval.k": 10}),)),
    Question("Window X (2)", "data.memory.window_days", "30 days", (
        Choice("window_90", "90 days", fields={"data.memory.window_days": 90.0}),
    )),
    Question("Weights of S (1)", "data.similarity", "1/3 each", (
        Choice("similarity_pose", "pose 1/2, background 1/4, caption 1/4", fields={
            "data.similarity.pose": 0.5, "data.similarity.background": 0.25, "data.similarity.caption": 0.25,
        }),
    )),
    Question("Carousels", "data.posts.carousel", "`first`", (
        Choice("carousel_skip", "`skip`", fields={"data.posts.carousel": "skip"}),
        ALL_IMAGES,
    )),
)  # fmt: skip
CHOICES = (DEFAULT, *(choice for question in QUESTIONS for choice in question.instead), OURS)

# What one training per world leaves undecided: trained again with other seeds.
TRAINED_AGAIN = (
    DEFAULT,
    Choice("concat", "concatenation in place of aggregation", "concat"),
    Choice("log_likes", "log likes in place of the ratio", "log_likes"),
    Choice(OURS.name, "K = 10 in place of 5", OURS.config),
)

BANKS = (0, 1, 5, 20, 80)  # data.memory.max_posts in the runs of short histories
FULL_BANK = 5  # with this many posts, none of the K slots is empty


def bank(posts: int, *, filled: bool = False) -> str:
    """The name of the row with at most `posts` posts in the bank; `filled`: empty slots take other accounts' posts."""
    return f"bank_{posts}_filled" if filled else f"bank_{posts}"


def _capped(posts: int, *, filled: bool = False) -> Choice:
    fields = {"data.memory.max_posts": posts} | ({"data.memory.fallback": "cross_account"} if filled else {})
    return Choice(bank(posts, filled=filled), f"{posts} posts{', filled' if filled else ''}", fields=fields)


# A bank of K posts or more leaves no slot empty, so there is nothing to fill and no run.
SHORT_HISTORIES = (
    DEFAULT,
    *(_capped(posts) for posts in BANKS),
    *(_capped(posts, filled=True) for posts in BANKS if posts < FULL_BANK),
)
