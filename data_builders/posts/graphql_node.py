"""Reads a post from the node that Instagram's GraphQL interface gave for it, in JSON."""

import json
from typing import Any

import orjson

from data_builders.posts.post import Post


def parse(data: bytes, account: str, post_id: str, images: list[tuple[str, str]]) -> Post | None:
    """Parses a node.

    Args:
      data: the node as JSON.
      account, post_id: who posted it, and its key in the posts table.
      images: (image id, path relative to the raw folder) of its images, in order.

    Returns:
      The post, or None if the JSON is broken or is not an object. A value that is missing or of a wrong type is None,
      0 or empty; `post.check` decides what that means.
    """
    node = _loads(data.removeprefix(b"\xef\xbb\xbf"))
    if not isinstance(node, dict):
        return None
    comments = "edge_media_to_comment" if _at(node, "edge_media_to_comment") else "edge_media_preview_comment"
    caption = _edges(node, "edge_media_to_caption")
    return Post(
        account=account,
        post_id=post_id,
        time=_integer(_at(node, "taken_at_timestamp")),
        likes=_integer(_at(node, "edge_media_preview_like", "count")),
        images=images,
        caption=_text(_at(caption[0], "node", "text")) if caption else "",
        comments=_comments(_edges(node, comments)),
        comment_count=_integer(_at(node, comments, "count")) or 0,
        sponsored=bool(_edges(node, "edge_media_to_sponsor_user")),
        tagged=len(_edges(node, "edge_media_to_tagged_user")),
        video=_at(node, "is_video") is True or _at(node, "__typename") == "GraphVideo",
        shortcode=_text(_at(node, "shortcode")),
    )


def _comments(edges: list) -> list[str]:
    """The comments, each on one line: the earliest first if all have a time, otherwise in the order of the file."""
    found = []
    for edge in edges:
        # The data set stores the comments of a post as lines, so a line break inside a comment would split it in two.
        if text := " ".join(_text(_at(edge, "node", "text")).splitlines()):
            found.append((_integer(_at(edge, "node", "created_at")), text))
    if all(time is not None for time, _ in found):
        found.sort(key=lambda comment: comment[0])
    return [text for _, text in found]


def _loads(data: bytes) -> Any:
    """The JSON value, or None if it is broken.

    orjson refuses half an emoji and stray bytes. These harm only a caption, so Python's own parser gets a second try.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return None


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _edges(node: dict, key: str) -> list:
    edges = _at(node, key, "edges")
    return edges if isinstance(edges, list) else []


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None


def _text(value: Any) -> str:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
