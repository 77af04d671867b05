"""Names of the baselines and what is said of them."""

from __future__ import annotations

YARDSTICKS = {
    "bayes": ("Bayes ceiling", "knows everything but the noise"),
    "universal_only": ("Universal only", "true universal quality, no taste of the account"),
    "retrieval_only": ("Retrieval only", "similarity-weighted log local score, no network"),
    "backbone_knn": ("Backbone kNN", "likes of the account's photos with the nearest features of a trained Swin"),
    "pixel_knn": ("Pixel kNN", "likes of the account's photos with the nearest pixels"),
    "caption_only": ("Caption only", "ridge on the words and hashtags of the caption"),
    "content_type": ("Content type", "people, carousel, sponsored: the mean local score of their kind"),
    "newer": ("Newer post", "the later of the two"),
    "older": ("Older post", "the earlier of the two"),
    "account_constant": ("Account constant", "followers, or all that an account has in common: ties, 50 % exactly"),
    "chance": ("Chance", "a coin"),
}
