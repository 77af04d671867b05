"""What is scored once per data set is recorded, not scored twice, and refused if it belongs to another data set."""

import numpy as np
import pytest

from configs import full
from ipa_jax.baselines import scores as baselines
from ipa_jax.baselines.names import BASELINES
from ipa_jax.experiments import records, reference_rows, runs
from ipa_jax.experiments.records import RecordError
from ipa_jax.experiments.runs import Run
from ipa_jax.experiments.study import Study
from ipa_jax.experiments.worlds import BuiltData, World
from ipa_jax.metrics.scored_pairs import score_table
from ipa_jax.peers import zero_shot
from tests.helpers.gray_split import Split


def study(out, records=None, **more):
    return Study(out, records or out, [(World(0, 20, 40), 0)], "tiny", **more)


def splits():
    choices, rng = full.get_config().data.to_dict(), np.random.default_rng(0)
    made = {}
    for name, prefix in (("train", "r"), ("validation", "v"), ("test", "t")):
        groups = [(f"u{a}", [(i, int(rng.integers(1, 900)), 0) for i in range(4)]) for a in range(12)]
        made[name] = Split(prefix, groups, choices)
    return made


REAL = [name for name in BASELINES if name not in ("bayes", "universal_only")]  # of data whose truth is unknown


@pytest.fixture
def run(monkeypatch):
    """A run whose data set is three splits in memory; `asked` lists what was built, trained and scored."""
    made, asked = splits(), []

    def opened(run, folder, split):
        asked.append(f"open {split}")
        return made[split], made["train"]

    def trained(run, folder):
        asked.append("train")
        return folder / "workdir"

    def all_scores(dataset, train, world, *, export, seed):
        names = BASELINES if world else REAL
        return {
            n: score_table(dataset.images, dataset.images["likes"].log().to_numpy() * (i + 1))
            for i, n in enumerate(names)
        }

    monkeypatch.setattr(reference_rows, "_splits", opened)
    monkeypatch.setattr(runs, "train", trained)
    monkeypatch.setattr(World, "draw", lambda self, folder: folder / "world")
    monkeypatch.setattr(baselines, "all_scores", all_scores)
    return Run("full", "full", {"model.width": 64}, World(0, 20, 40), size="tiny"), asked


def test_baselines_are_scored_once_and_then_read(run, tmp_path):
    run, asked = run
    made = reference_rows.baselines(run, study(tmp_path, tmp_path / "records"))
    assert list(made) == list(BASELINES)
    assert sorted(asked) == ["open test", "open validation", "train", "train"]
    assert reference_rows.baselines(run, study(tmp_path, tmp_path / "records")) == made and len(asked) == 4
    assert made["bayes"].figures["rescale_factor"] == pytest.approx(1)
    assert made["universal_only"].figures["rescale_factor"] == pytest.approx(1 / 2)
    assert made["universal_only"].figures["ratio_mse_rescaled"] == pytest.approx(0, abs=1e-9)
    assert made["chance"].figures["accuracy"] == 1  # of the stand-in
    assert records.scores(made["chance"]).height == 48


def test_only_the_backbones_neighbours_depend_on_the_model(run, tmp_path):
    run, _ = run
    reference_rows.baselines(run, study(tmp_path))
    other = Run("full", "full", {"model.width": 32}, run.world, size="tiny")
    with pytest.raises(RecordError, match=r"backbone_knn-seed0\.json.*run\.backbone\.fields\.model\.width"):
        reference_rows.baselines(other, study(tmp_path))
    again = reference_rows.baselines(other, study(tmp_path, overwrite=True))
    assert again["backbone_knn"].run["backbone"]["fields"] == {"model.width": 32}
    leaky = Run("full", "full", {"data.memory.exclude": "post"}, run.world, size="tiny")
    with pytest.raises(RecordError, match=r"bayes-seed0\.json.*data\.memory\.exclude"):
        reference_rows.baselines(leaky, study(tmp_path))


def test_real_posts_have_no_truth(run, tmp_path, monkeypatch):
    monkeypatch.setattr(BuiltData, "definition", {"data": "0123"})
    real = Run("full", "full", {}, BuiltData(tmp_path), size="tiny")
    assert list(reference_rows.baselines(real, study(tmp_path))) == REAL


def test_public_weights_are_scored_on_both_splits(run, tmp_path, monkeypatch):
    run, _ = run
    calls = []

    def scores(name, weights, dataset):
        calls.append((name, weights, dataset.split))
        return score_table(dataset.images, np.zeros(len(dataset.images)))

    monkeypatch.setattr(zero_shot, "scores", scores)
    (tmp_path / "w").mkdir()
    (tmp_path / "w/nima_aesthetic.safetensors").write_bytes(b"one")
    for _ in range(2):
        record = reference_rows.peer("nima", run, tmp_path / "w", study(tmp_path, tmp_path / "records"))
        assert record.name == "zero_shot_nima" and record.figures["accuracy"] == 0.5
    assert calls == [("nima", tmp_path / "w", "test"), ("nima", tmp_path / "w", "validation")]
    (tmp_path / "w/nima_aesthetic.safetensors").write_bytes(b"two")
    with pytest.raises(RecordError, match="sha256"):
        reference_rows.peer("nima", run, tmp_path / "w", study(tmp_path, tmp_path / "records"))
