"""The baselines by name: what each is, and the function that scores a split. Importing this loads none of them.

To add a baseline, write a function that returns a frame of scores (see metrics/scored_pairs.py), and a row here. Pages
and the report learn the name from the row.
"""

from dataclasses import dataclass

HERE = "ipa_jax.baselines"


@dataclass(frozen=True)
class Baseline:
    """A row of BASELINES.

    Attributes:
      title: the baseline's name on pages.
      note: what it is, in a few words.
      scores: "package.module:function" that gives the scores.
      needs: what the function takes: "dataset", the split to score; "train", the train split of the same data set;
        "world", the folder of the demo world; "export", the folder of an exported model; "seed". Where the world or the
        export is missing, the baseline is left out.
    """

    title: str
    note: str
    scores: str
    needs: tuple[str, ...] = ("dataset", "train")


BASELINES = {
    "bayes": Baseline("Bayes ceiling", "knows everything but the noise", f"{HERE}.bounds:bayes", ("dataset", "world")),
    "universal_only": Baseline(
        "Universal only",
        "true universal quality, no taste of the account",
        f"{HERE}.bounds:universal_only",
        ("dataset", "world"),
    ),
    "retrieval_only": Baseline(
        "Retrieval only",
        "similarity-weighted log local score, no network",
        f"{HERE}.neighbours:retrieval_only",
        ("dataset",),
    ),
    "backbone_knn": Baseline(
        "Backbone kNN",
        "likes of the account's photos with the nearest features of a trained Swin",
        f"{HERE}.backbone_features:backbone_knn",
        ("dataset", "train", "export"),
    ),
    "pixel_knn": Baseline(
        "Pixel kNN", "likes of the account's photos with the nearest pixels", f"{HERE}.neighbours:pixel_knn"
    ),
    "caption_only": Baseline(
        "Caption only", "ridge on the words and hashtags of the caption", f"{HERE}.metadata:caption_only"
    ),
    "content_type": Baseline(
        "Content type",
        "people, carousel, sponsored: the mean local score of their kind",
        f"{HERE}.metadata:content_type",
    ),
    "newer": Baseline("Newer post", "the later of the two", f"{HERE}.metadata:newer", ("dataset",)),
    "older": Baseline("Older post", "the earlier of the two", f"{HERE}.metadata:older", ("dataset",)),
    "account_constant": Baseline(
        "Account constant",
        "followers, or all that an account has in common: ties, 50 % exactly",
        f"{HERE}.metadata:account_constant",
    ),
    "chance": Baseline("Chance", "a coin", f"{HERE}.bounds:chance", ("dataset", "seed")),
}
