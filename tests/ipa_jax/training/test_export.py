"""The export folder: what is written comes back, in both formats; what is missing is named."""

import errno
import json
import os

import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import traverse_util

from configs import concat, full
from ipa_jax.training import export, model_card, rescale, trained_on
from ipa_jax.training.export import ExportError
from ipa_jax.training.export_folder import open_export
from ipa_jax.training.rescale import Rescale
from ipa_jax.training.trained_on import TrainedOn
from tests.helpers.damage import require_noticed
from third_party_ports import checksums
from third_party_ports.disks import DiskError

RNG = np.random.default_rng(0)
VARIABLES = {
    "params": {
        "head": {"kernel": RNG.normal(size=(4, 1)).astype(np.float32), "bias": np.zeros(1, np.float32)},
        "conv": {"kernel": RNG.normal(size=(3, 2, 2, 5)).astype(np.float32).transpose(3, 0, 1, 2)},  # not contiguous
    },
    "batch_stats": {"bn": {"mean": np.float32([1, 2])}},
}
DATA = {"choices": {"retrieval": {"k": 5}}, "statistics": {"train": {"images": 5, "groups": 2, "pairs": 3}}}


@pytest.fixture
def config():
    config = concat.get_config("demo")
    config.data_dir = "/data/world"
    config.model.swin.depths = (1, 2)
    config.optim.groups.swin_plain.learning_rate = 0.25
    return config


@pytest.fixture
def saved(tmp_path, config):
    export.save_export(tmp_path / "export", VARIABLES, config, DATA, "# card\n")
    return tmp_path / "export"


def same(a, b):
    a, b = (traverse_util.flatten_dict(tree, sep="/") for tree in (a, b))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
        assert np.asarray(a[name]).dtype == np.asarray(b[name]).dtype


def test_all_comes_back(saved, config):
    variables, loaded, data = export.load_export(saved)
    same(variables, VARIABLES)
    assert data == DATA and (saved / "README.md").read_text() == "# card\n"
    assert loaded.to_dict() == config.to_dict()
    assert not (saved.parent / "export.tmp").exists()
    assert rescale.load(open_export(saved)) is None


def test_orbax_holds_the_same_arrays(saved):
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore((saved / "params").absolute(), VARIABLES)
    same(restored, export.load_export(saved)[0])


def test_a_model_without_batch_norm(tmp_path, config):
    variables = {"params": VARIABLES["params"], "batch_stats": {}}
    export.save_export(tmp_path / "export", variables, config, DATA, "")
    same(export.load_export(tmp_path / "export")[0], variables)


def test_an_older_export_is_replaced_whole(saved, config):
    (saved / "old.txt").write_text("left over")
    export.save_export(saved, VARIABLES, config, DATA, "# new\n")
    assert (saved / "README.md").read_text() == "# new\n" and not (saved / "old.txt").exists()


def test_a_full_disk_leaves_no_half_export(tmp_path, config, monkeypatch):
    def full(folder):
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "checksums.json"))

    monkeypatch.setattr(export.checksums, "write", full)
    with pytest.raises(DiskError, match=f"{tmp_path}/export: the disk is full"):
        export.save_export(tmp_path / "export", VARIABLES, config, DATA, "")
    assert not list(tmp_path.iterdir())


def test_the_config_has_its_types_again_and_is_locked(saved):
    loaded = export.load_config(saved / "config.json")
    assert loaded.model.swin.depths == (1, 2) and loaded.model.fusion == "concat" and loaded.size == "demo"
    assert loaded.init.swin is None
    loaded.init.swin = "file.safetensors"  # an unset field keeps its type
    with pytest.raises(TypeError):
        loaded.init.swin = 3
    with pytest.raises(AttributeError):
        loaded.model.swin.dept = (1,)


@pytest.mark.parametrize("change", [{"model": {"brain": 1}}, {"seed": "one"}, {"size": "huge"}, {"size": None}])
def test_a_config_of_another_version_is_an_error(saved, change):
    file = saved / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    checksums.write(saved)
    with pytest.raises(ExportError, match=r"config\.json: written by another version"):
        export.load_config(file)


@pytest.mark.parametrize("name", ["config.json", "data.json", "model.safetensors"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(ExportError, match=rf"{name} is missing: --export names the export/ folder"):
        export.load_export(saved)


@pytest.fixture
def whole(saved, config):
    """An export with every file that is read."""
    trained = TrainedOn("salt", 5, frozenset({"ab" * 12}))
    export.save_export(saved, VARIABLES, config, DATA, "# card\n", trained=trained, rescale=Rescale(0.1, "12ab"))
    return saved


def everything(folder):
    variables, config, data = export.load_export(folder)
    flat = traverse_util.flatten_dict(variables, sep="/")
    arrays = {name: leaf.tobytes() for name, leaf in flat.items()}
    return arrays, config.to_dict(), data, rescale.load(open_export(folder)), trained_on.load_trained_on(folder)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "data.json", "trained_on.json", "rescale.json", "checksums.json"]
)
def test_damage_is_noticed_in_every_file_that_is_read(whole, name):
    require_noticed(whole / name, lambda: everything(whole), ExportError, lambda a, b: a == b)


def test_an_export_of_before_is_read_with_one_warning(whole, capsys):
    expected = everything(whole)
    (whole / "checksums.json").unlink()
    assert everything(whole) == expected
    assert capsys.readouterr().err.count("warning: ") == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\0" * 900, b"PK\3\4", b"\xff" * 99])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "data.json", "trained_on.json", "rescale.json"])
def test_what_cannot_be_parsed_is_named_without_checksums_too(whole, name, content):
    (whole / "checksums.json").unlink()
    (whole / name).write_bytes(content)
    with pytest.raises(ExportError, match=name):
        everything(whole)


def test_the_umask_gives_the_mode_of_every_file(tmp_path, config):
    before = os.umask(0o022)
    try:
        export.save_export(tmp_path / "export", VARIABLES, config, DATA, "# card\n")
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "export").glob("*.*")} == {0o644}


RESULTS = {"steps": 100, "best_step": 80, "parameters": 1234567,
           "test": {"accuracy": 0.7948, "accuracy_interval": [0.79, 0.8], "plcc": 0.4052, "srcc": 0.3871,
                    "ratio_mse": 1.1388}}  # fmt: skip


@pytest.mark.parametrize("random_init", [True, False])
@pytest.mark.parametrize("random_features", [True, False])
def test_the_card_marks_random_weights(random_init, random_features):
    config = full.get_config()
    config.init.random = random_init
    card = model_card.model_card(config, RESULTS, DATA | {"random_weights": random_features}, 12.0)
    assert card.count("**Mark: ") == random_init + random_features
    assert ("from a random start" in card) == random_init
    assert ("scores mean nothing" in card) == random_features
    for figure in ("0.7948 (95 % interval 0.7900 to 0.8000)", "0.4052, 0.3871", "1.1388", "1,234,567", "5, 2, 3"):
        assert figure in card
