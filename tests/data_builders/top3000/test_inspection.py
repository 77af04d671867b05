"""What `inspect` shows of a data set, where the paper's own setting does not reach."""

import re
from collections import Counter

from data_builders import inspect
from data_builders.dataset import SPLITS, GroupDataset
from data_builders.top3000.build import build
from tests.helpers import tiny_world
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


def test_brackets_in_names_are_no_markup(tmp_path, capsys):
    """Rich would take [red] for a colour and not print it, and [/red] for an error."""
    tiny_world.write(tmp_path, side=8, named="[red]", lacking=("photos/0_0.png",), parts=("background",))
    options = config(similarity={"pose": 0.0, "background": 1.0, "caption": 0.0})
    options.data.depth.side = 0
    build(options.data.to_dict(), tmp_path / "raw", tmp_path / "features", tmp_path / "data")
    assert "[red]0/0_0" in capsys.readouterr().out
    page = tmp_path / "page.html"
    assert inspect.main([f"--data_dir={tmp_path}/data", f"--html={page}"]) == 0
    assert "[red]" in capsys.readouterr().out and "[red]" in page.read_text()


def test_a_damaged_data_set_is_one_line(world, tmp_path, capsys):
    folder = build_quietly(world, tmp_path / "data")
    capsys.readouterr()
    (folder / "metadata.json").write_text("{}")
    assert inspect.main([f"--data_dir={folder}"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "metadata.json" in said and "ipa-jax build --overwrite" in said
