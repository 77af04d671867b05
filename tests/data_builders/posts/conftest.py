"""A list of posts as people write it by hand."""

import pytest

from data_builders.posts.read import read_posts
from tests.helpers.raw_layout import save_image, with_options


@pytest.fixture
def own(tmp_path):
    """Reads a posts.csv of the given text beside the images a.jpg, b.jpg, c.jpg and more/d.jpg."""
    for name in ("a.jpg", "b.jpg", "c.jpg", "more/d.jpg"):
        save_image(tmp_path / name)

    def read(text: str | bytes, **options):
        path = tmp_path / "posts.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_posts(path, with_options(**options))

    return read
