"""The influencer dataset's layout: names, ids, influencers.txt, rows of the mapping, .info files."""

import base64
import json
from collections.abc import Sequence

import numpy as np

HEADER = "Username\tCategory\t#Followers\t#Followees\t#Posts"
MAPPING_HEADER = "influencer_name\tJSON_PostMetadata_file_name\tImage_file_name"
CATEGORIES = ("beauty", "family", "fashion", "fitness", "food", "interior", "pet", "travel", "other")
_FIRST = ("anna", "luca", "mia", "noah", "sofia", "theo", "zoe", "ravi", "kim", "olga", "juan", "aya", "lena", "omar")
_LAST = ("travels", "daily", "eats", "fit", "style", "homes", "outdoors", "and_the_dog", "studio", "life", "official")
_EPOCH_MS = 1_314_220_021_721  # Instagram's ids count milliseconds from here


def user_name(number: int, rng: np.random.Generator) -> str:
    """A user name with dots and underscores, as real ones have; the number makes it unique."""
    first, last = _FIRST[rng.integers(len(_FIRST))], _LAST[rng.integers(len(_LAST))]
    shapes = (
        f"{first}.{last}{number}",
        f"{first}_{last}_{number}",
        f"_{first}{last}{number}_",
        f"{number:02d}_{first}",
        f"{first}{number}.{last}",
    )
    return shapes[rng.integers(len(shapes))]


def influencer_row(user: str, category: str, followers: int, followees: int, posts: int) -> str:
    """A line of influencers.txt."""
    return f"{user}\t{category}\t{followers}\t{followees}\t{posts}"


def post_id(account: int, number: int, time: int, image: int = 0) -> str:
    """An id of time, account and post, like Instagram's. image: 0 for the post, 1 and up for images of a carousel."""
    return str((time * 1000 + image - _EPOCH_MS) << 23 | (account % 8192) << 10 | number % 1024)


def shortcode(post: str) -> str:
    """The short form of a post id, as in a post's address."""
    return base64.urlsafe_b64encode(int(post).to_bytes(8, "big")).rstrip(b"=").decode().lstrip("A")


def mapping_row(user: str, post: str, images: Sequence[str]) -> str:
    """A line of the mapping. It lists image names without the user's prefix, as a Python list."""
    return f"{user}\t{post}.info\t{[f'{image}.jpg' for image in images]}"


def info(
    user: str,
    account: int,
    post: str,
    time: int | None,
    likes: int | None,
    images: Sequence[str],
    caption: str,
    comments: tuple[int, Sequence[str]],
    video: bool,
    sponsor: str | None,
    tagged: Sequence[str],
    side: int,
) -> str:
    """A .info file: a GraphQL node as JSON. The key of time or likes is left out if the value is None."""
    count, texts = comments
    kind = "GraphVideo" if video else "GraphSidecar" if len(images) > 1 else "GraphImage"
    node = {
        "__typename": kind,
        "id": post,
        "shortcode": shortcode(post),
        "dimensions": {"height": side, "width": side},
        "is_video": video,
        "edge_media_to_caption": {"edges": [{"node": {"text": caption}}] if caption else []},
        "edge_media_to_comment": {"count": count, "edges": [{"node": {"text": text}} for text in texts]},
        "edge_media_preview_like": {"edges": []} if likes is None else {"count": likes, "edges": []},
        "edge_media_to_sponsor_user": {"edges": [{"node": {"sponsor": {"username": sponsor}}}] if sponsor else []},
        "edge_media_to_tagged_user": {"edges": [{"node": {"user": {"username": name}}} for name in tagged]},
        "owner": {"id": str(10_000_000 + account), "username": user},
    }
    if time is not None:
        node["taken_at_timestamp"] = time
    if len(images) > 1:
        children = [{"node": {"__typename": "GraphImage", "id": image}} for image in images]
        node["edge_sidecar_to_children"] = {"edges": children}
    return json.dumps(node, ensure_ascii=False)
