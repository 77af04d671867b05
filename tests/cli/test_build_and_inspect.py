"""The documented commands of the data set. (test_installed.py runs them in processes of their own.)"""

import json

import pytest

from data_builders.dataset import GroupDataset
from tests.helpers import tiny_world
from tests.helpers.commands import fail, succeed_here


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    tiny_world.write(folder)
    return folder


def test_build_then_inspect(world):
    flags = ("--config=configs/full.py:tiny", f"--raw={world}/raw", f"--features={world}/features",
             f"--data_dir={world}/data")  # fmt: skip
    refused = fail("build", *flags)
    assert refused.returncode == 1 and "config.data.depth.side is 48" in refused.stderr
    assert not (world / "data" / "top3000").exists()

    built = succeed_here("build", *flags, "--config.data.depth.side=8", "--config.data.memory.exclude=post")
    assert "569,151" in built.stdout and "wrote" in built.stdout

    again = fail("build", *flags, "--config.data.depth.side=8")
    assert again.returncode == 1 and "config.data.memory.exclude is 'post'" in again.stderr
    assert "--overwrite" in again.stderr

    lines, page = world / "test.jsonl", world / "test.html"
    shown = succeed_here("inspect", f"--data_dir={world}/data", "--split=test", f"--jsonl={lines}", f"--html={page}")
    dataset = GroupDataset(world / "data", "test")
    assert f"{len(dataset.images):,}" in shown.stdout
    groups = [json.loads(line) for line in lines.read_text().splitlines()]
    for line, group in zip(groups, dataset, strict=True):
        assert list(line) == ["account", "first_post", "split", "images", "likes", "times", "pairs", "retrieved"]
        assert (line["account"], line["first_post"], line["split"]) == (group["account"], group["first_post"], "test")
        assert line["images"] == group["image_ids"] and line["pairs"] == group["pairs"].tolist()
        for image, found in enumerate(line["retrieved"]):
            slots = group["mask"][image].sum()
            assert [x[0] for x in found] == group["retrieved_ids"][image * 5 : image * 5 + slots]
            assert [x[1:5] for x in found] == group["similarity"][image, :slots].tolist()
            assert [x[5] for x in found] == group["local_score"][image, :slots].tolist()
            assert [x[6] for x in found] == group["count"][image, :slots].tolist()
    html = page.read_text()
    assert html.count('<figure class="query">') == len(dataset.images)
    assert html.count("<figure>") == sum(len(found) for line in groups for found in line["retrieved"])
    assert 'src="http' not in html


def test_inspect_without_a_data_set_says_how_to_make_one(tmp_path):
    assert "build" in fail("inspect", f"--data_dir={tmp_path}").stderr


@pytest.mark.parametrize(
    ("module", "flags", "said"),
    [
        ("build", ["--raw=x"], "error: the following arguments are required: --config, --features, --data_dir"),
        ("build", ["--rawe=x"], "error: the following arguments are required: --config, --raw"),
        ("planted-build", [], "error: the following arguments are required: --config, --raw"),
        ("planted-build", ["--plant=temporal"], "error: --plant=temporal breaks what past_only"),
    ],
)
def test_flags_that_are_missing_or_wrong_are_named_at_once(module, flags, said):
    """Before anything that they name is looked for: it does not exist."""
    if flags and "plant" in flags[0]:
        flags = [*flags, "--config=configs/full.py:tiny", "--raw=nowhere", "--features=nowhere", "--data_dir=nowhere"]
    message = fail(module, *flags).stderr
    assert message.startswith(said) and len(message.splitlines()) == 1
