"""What `inspect` shows of a data set, where the paper's own setting does not reach."""

import re
from collections import Counter

from data_builders import inspect
from data_builders.dataset import SPLITS, GroupDataset
from tests.helpers.built import build_quietly, config


def test_the_page_shows_retrieved_posts_of_other_accounts(world, tmp_path):
    build_quietly(world, tmp_path, config=config(memory={"max_posts": 1, "fallback": "cross_account"}))
    train = GroupDataset(tmp_path, "train").images
    likes = {(row["account"], row["image_id"]): row["likes"] for row in train.to_dicts()}
    for split in SPLITS:
        page = tmp_path / f"{split}.html"
        assert inspect.main([f"--data_dir={tmp_path}", f"--split={split}", f"--html={page}", "--groups=1000"]) == 0
        expected, foreign = Counter(), 0
        for group in GroupDataset(tmp_path, split):
            expected.update(f"{count:,}" for count in group["likes"].tolist())
            for image, elsewhere in zip(group["retrieved_ids"], group["foreign"].ravel().tolist(), strict=True):
                key = tuple(image.split("/", 1)) if elsewhere else (group["account"], image)
                expected[f"{likes[key]:,}"] += 1
                foreign += elsewhere
        shown = Counter(re.findall(r"([\d,]+)(?:</b>)? likes[,<]", page.read_text()))
        assert foreign and shown == expected
