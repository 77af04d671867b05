"""The average of several exports: hand-worked means, what must be alike, and the command on a trained model."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from configs import concat
from ipa_jax.training import export
from ipa_jax.training.average_exports import average_exports
from ipa_jax.training.export import ExportError
from ipa_jax.training.trained_on import TrainedOn, load_trained_on
from tests.helpers.commands import fail, succeed_here
from third_party_ports import checksums

DATA = {"choices": {"retrieval": {"k": 5}}, "statistics": {"train": {"images": 5}}}


def saved(folder, value, seed, *, data=DATA, width=3, learning_rate=None, start=""):
    config = concat.get_config("demo")
    config.seed, config.init.export = seed, start
    if learning_rate:
        config.optim.groups.swin_plain.learning_rate = learning_rate
    variables = {
        "params": {"head": {"kernel": np.full((width, 1), value, np.float32)}},
        "batch_stats": {"bn": {"mean": np.float32([value, 2 * value])}},
    }
    export.save_export(folder, variables, config, data, f"# {seed}\n", trained=TrainedOn("salt", 9, frozenset("ab")))
    return folder


def test_every_leaf_is_the_mean_of_the_members(tmp_path):
    members = [saved(tmp_path / str(seed), value, seed) for seed, value in enumerate([1.0, 2.0, 6.0])]
    found = average_exports(members, tmp_path / "out")
    variables, config, data = export.load_export(tmp_path / "out")
    np.testing.assert_array_equal(variables["params"]["head"]["kernel"], np.full((3, 1), 3.0, np.float32))
    np.testing.assert_array_equal(variables["batch_stats"]["bn"]["mean"], np.float32([3, 6]))
    assert found.seeds == (0, 1, 2) and config.seed == 0 and data == DATA
    assert load_trained_on(tmp_path / "out") == load_trained_on(members[0])
    card = (tmp_path / "out/README.md").read_text()
    assert all(str(member) in card for member in members)


def test_the_order_of_the_members_does_not_matter(tmp_path):
    rng = np.random.default_rng(0)
    members = [saved(tmp_path / str(seed), np.float32(rng.normal()), seed) for seed in range(3)]
    average_exports(members, tmp_path / "a"), average_exports(members[::-1], tmp_path / "b")
    one, other = (export.load_export(tmp_path / name)[0]["params"]["head"]["kernel"] for name in "ab")
    np.testing.assert_array_equal(one, other)


def test_runs_that_drew_their_weights_apart_get_a_note_and_continued_ones_do_not(tmp_path):
    apart = [saved(tmp_path / f"a{seed}", 1, seed) for seed in (0, 1)]
    continued = [saved(tmp_path / f"b{seed}", 1, seed, start="runs/base/export") for seed in (0, 1)]
    assert average_exports(apart, tmp_path / "a").note
    assert not average_exports(continued, tmp_path / "b").note


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"learning_rate": 0.125}, r"config\.optim\.groups\.swin_plain\.learning_rate is .* and 0\.125"),
        (
            {"data": DATA | {"statistics": {"train": {"images": 6}}}},
            r"other data: data\.json\.statistics\.train\.images",
        ),
        ({"width": 4}, "other parameters"),
    ],
)
def test_members_that_differ_are_named(tmp_path, other, message):
    members = [saved(tmp_path / "a", 1.0, 0), saved(tmp_path / "b", 2.0, 1, **other)]
    with pytest.raises(ExportError, match=message):
        average_exports(members, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_member_given_twice_and_a_folder_in_use_are_refused(tmp_path):
    one = saved(tmp_path / "a", 1.0, 0)
    with pytest.raises(ExportError, match="given twice"):
        average_exports([one, tmp_path / "." / "a"], tmp_path / "out")
    with pytest.raises(ExportError, match=r"a is not empty.*--out"):
        average_exports([one, saved(tmp_path / "b", 1.0, 1)], one)


def test_the_command_averages_and_evaluate_scores_the_average(trained, tmp_path):
    """Of two members whose last layers are opposite, the average scores every image alike."""
    other = tmp_path / "other"
    shutil.copytree(trained / "export", other)
    arrays = load_file(other / "model.safetensors")
    arrays |= {name: -leaf for name, leaf in arrays.items() if name.startswith("params/head/")}
    save_file(arrays, other / "model.safetensors")
    checksums.write(other)  # it is meant
    done = succeed_here("average", f"--export={trained}/export", f"--export={other}", f"--out={tmp_path}/mean")
    assert "next: ipa-jax evaluate" in done.stdout and "note: " in done.stdout
    figures = json.loads(succeed_here("evaluate", f"--export={tmp_path}/mean", "--split=validation", "--json").stdout)
    assert figures["accuracy"] == 0.5
    assert "two exports or more" in fail("average", f"--export={other}", f"--out={tmp_path}/x").stderr
