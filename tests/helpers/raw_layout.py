"""Writes small raw data sets in the layout of the Instagram Influencer Dataset, with defects on request."""

import json
from pathlib import Path

from PIL import Image

OPTIONS = {"top_n": 3000, "posts": {"carousel": "first", "min_age_days": 0.0}}
LIST_HEADER = "image,account,likes,timestamp"  # of a posts.csv
HEADER = "Username\tCategory\t#Followers\t#Followees\t#Posts\n" + "=" * 40 + "\n"
MAPPING_HEADER = "influencer_name\tJSON_PostMetadata_file_name\tImage_file_name\n"


def with_options(**posts_or_top) -> dict:
    """OPTIONS with `carousel` or `top_n` replaced."""
    top_n = posts_or_top.get("top_n", OPTIONS["top_n"])
    carousel = posts_or_top.get("carousel", "first")
    return {"top_n": top_n, "posts": {"carousel": carousel, "min_age_days": 0.0}}


def node(likes: object = 100, time: object = 1_500_000_000, **more: object) -> dict:
    """A post's GraphQL node, as the .info files hold it."""
    return {"taken_at_timestamp": time, "edge_media_preview_like": {"count": likes}, "is_video": False} | more


def save_image(path: Path, shade: int = 90, side: int = 24) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").resize((side, side)).point(lambda v: (v + shade) % 256).convert("RGB").save(path)


class InstagramFolder:
    """A raw root under construction: accounts, then posts, then `write()`."""

    def __init__(self, root: Path, *, header: str = HEADER, mapping_header: str = MAPPING_HEADER, bom: bool = False):
        self.root, self.bom = root, "\ufeff" if bom else ""
        self.influencers, self.mapping = [header], [mapping_header]
        (root / "info").mkdir(parents=True)
        (root / "image").mkdir()

    def account(self, name: str, followers: object = 5000, category: str = "travel") -> None:
        self.influencers.append(f"{name}\t{category}\t{followers}\t10\t300\n")

    def post(self, account: str, post_id: str, info: dict | bytes | None = None, images=None, missing=()) -> None:
        """A mapping row, its images, and its .info file (bytes as given; None: a plain one; missing: not written)."""
        names = [f"{post_id}.jpg"] if images is None else list(images)
        self.mapping.append(f"{account}\t{post_id}.info\t{names!r}\n")
        data = node() if info is None else info
        if "info" not in missing:
            written = data if isinstance(data, bytes) else json.dumps(data).encode()
            (self.root / "info" / f"{account}-{post_id}.info").write_bytes(written)
        for name in names:
            if name not in missing:
                save_image(self.root / "image" / f"{account}-{name}")

    def write(self) -> Path:
        (self.root / "influencers.txt").write_text(self.bom + "".join(self.influencers), encoding="utf-8")
        mapping = self.root / "JSON-Image_files_mapping.txt"
        mapping.write_text(self.bom + "".join(self.mapping), encoding="utf-8")
        return self.root
