"""Reads a post from the node that Instagram's GraphQL interface gave for it, in JSON."""

from data_builders.posts.json_file import at, integer, items, loads, text
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
    node = loads(data)
    return post_of(node, account, post_id, images) if isinstance(node, dict) else None


def post_of(node: dict, account: str, post_id: str, images: list[tuple[str, str]]) -> Post:
    """The post of a node that was parsed, as `parse` returns it."""
    comments = "edge_media_to_comment" if at(node, "edge_media_to_comment") else "edge_media_preview_comment"
    caption = items(node, "edge_media_to_caption", "edges")
    return Post(
        account=account,
        post_id=post_id,
        time=integer(at(node, "taken_at_timestamp")),
        likes=integer(at(node, "edge_media_preview_like", "count")),
        images=images,
        caption=text(at(caption[0], "node", "text")) if caption else "",
        comments=_comments(items(node, comments, "edges")),
        comment_count=integer(at(node, comments, "count")) or 0,
        sponsored=bool(items(node, "edge_media_to_sponsor_user", "edges")),
        tagged=len(items(node, "edge_media_to_tagged_user", "edges")),
        video=at(node, "is_video") is True or at(node, "__typename") == "GraphVideo",
        shortcode=text(at(node, "shortcode")),
    )


def _comments(edges: list) -> list[str]:
    """The comments, each on one line: the earliest first if all have a time, otherwise in the order of the file."""
    found = []
    for edge in edges:
        # The data set stores the comments of a post as lines, so a line break inside a comment would split it in two.
        if line := " ".join(text(at(edge, "node", "text")).splitlines()):
            found.append((integer(at(edge, "node", "created_at")), line))
    if all(time is not None for time, _ in found):
        found.sort(key=lambda comment: comment[0])
    return [line for _, line in found]
