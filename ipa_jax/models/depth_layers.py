"""The five depth layers of an image (section 3.3). Imports no jax: the processes that read batches need the number."""

LAYERS = ((0.0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1.0), (0.0, 0.5), (0.5, 1.0))  # near, middle, far; fore-, background


def view_count(views: str) -> int:
    """V, the number of depth vectors of an image, by model.depth.views. Raises ValueError for an unknown value."""
    if views not in ("tokens", "channels"):
        raise ValueError(f"model.depth.views is {views!r}: set it to tokens or channels")
    return len(LAYERS) if views == "tokens" else 1
