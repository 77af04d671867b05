"""Tests of the verifier on every golden fixture, on other sizes made by slow networks, and on spoilt fixtures."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.helpers import slow_resnet, slow_swin
from tests.helpers.paths import ROOT
from third_party_ports import swin, verify
from third_party_ports.parity import check, recipe, table
from third_party_ports.parity.fixture import Fixture
from third_party_ports.parity.images import stored_names

GOLDEN = sorted(manifest.parent for manifest in (ROOT / "tests/golden").glob("*/manifest.json"))
MEAN_STD = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def write(folder: Path, manifest: dict, answers: dict[str, np.ndarray]) -> Path:
    """Writes a fixture in the published format: 60 values of each answer, `pooled` and `logits` whole."""
    rng, arrays = np.random.default_rng(1), {}
    for name, answer in answers.items():
        if name in ("pooled", "logits"):
            arrays[name] = answer.astype(np.float32)
        else:
            index = rng.choice(answer.size, 60, replace=False)
            sample = {"": answer.ravel()[index].astype(np.float32), "_index": index, "_shape": np.array(answer.shape)}
            arrays |= {f"tap_{name}{end}": value for end, value in sample.items()}
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    np.savez(folder / "io.npz", **arrays)
    return folder


def inputs(manifest: dict) -> tuple[np.ndarray, np.ndarray]:
    """Returns the recipe's images [N, 3, H, W], unchanged and normalised in float64."""
    images = recipe.image(*manifest["input"].values())
    mean, std = (np.array(MEAN_STD[name])[:, None, None] for name in ("mean", "std"))
    return images, (images - mean) / std


def resnet_fixture(folder: Path) -> Path:
    """Two images of odd and unequal sides, two stages of two and one blocks, another seed."""
    given = {"name": "odd", "shape": [2, 3, 37, 51], "seed": 3}
    manifest = {"model": "resnet50", "seed": 5, "gain": 1.0, "wrapper": None, "input": given, "computed": []}
    manifest |= {"tensors": slow_resnet.tensor_list((2, 1), 4, classes=7), **MEAN_STD}
    images, normal = inputs(manifest)
    return write(folder, manifest, {"input": images, **slow_resnet.answers(normal, recipe.state_dict(manifest))})


def swin_fixture(folder: Path, window: int = 3, side: int = 24) -> Path:
    """Two images in patches of 2 px, two stages of two blocks, another seed."""
    config = {"image": side, "patch": 2, "embed": 8, "depths": [2, 2], "heads": [1, 2], "window": window}
    given = {"name": "small", "shape": [2, 3, side, side], "seed": 3}
    manifest = {"model": "swin_b", "seed": 5, "gain": 1.0, "wrapper": "model", "config": config, "input": given}
    manifest["tensors"], manifest["computed"] = slow_swin.tensor_list(config, classes=7)
    manifest |= MEAN_STD
    images, normal = inputs(manifest)
    return write(folder, manifest, {"input": images, **slow_swin.answers(normal, recipe.state_dict(manifest), config)})


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    return resnet_fixture(tmp_path_factory.mktemp("verify") / "resnet")


@pytest.fixture
def copy(resnet, tmp_path):
    """A fixture to spoil."""
    return Path(shutil.copytree(resnet, tmp_path / "spoilt"))


def change(folder: Path, **fields) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | fields))


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
def test_golden(folder):
    """Every stored answer of the original networks has a row that passes, and one in the README's table."""
    rows = check.verify(folder)
    assert not [row for row in rows if not row.passed]
    table = (ROOT / "third_party_ports/README.md").read_text()
    assert not [row for row in rows if f"| {folder.name} | {row.comparison.array} |" not in table]
    if (folder / "io.npz").is_file():
        with np.load(folder / "io.npz") as stored:
            names = {name.removeprefix("tap_") for name in stored_names(stored.files)}
        assert names <= {row.comparison.array.removeprefix("tap_").partition(" (")[0] for row in rows}


@pytest.mark.parametrize(
    ("name", "given"), [("dekr_post", r"scale[\d.]+_\w+"), ("torch_files", "")], ids=lambda value: value
)
def test_no_stored_answer_goes_unread(tmp_path, name, given):
    """All answers of the two cheap fixtures are spoilt, except inputs and empty ones. Each then fails a row."""
    folder, spoilt = shutil.copytree(ROOT / "tests/golden" / name, tmp_path / name), set()
    for file in folder.glob("*.npz"):
        with np.load(file) as stored:
            arrays = dict(stored)
        for key, array in arrays.items():
            if not key.endswith(("_index", "_shape")) and not re.fullmatch(given, key) and array.size:
                arrays[key] = ~array if array.dtype == bool else array + array.dtype.type(1)
                spoilt.add(key)
        np.savez(file, **arrays)
    failed = " ".join(row.problem or row.comparison.array for row in check.verify(folder) if not row.passed)
    assert {key for key in spoilt if key not in failed} == set()


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
def test_no_array_of_a_golden_fixture_may_be_absent(folder):
    fixture, stored = Fixture(folder), set()
    for file in folder.glob("*.npz"):
        names = {name.removeprefix("tap_") for name in stored_names(fixture.arrays(file.name))}
        stored |= names if file.name == "io.npz" else {f"{file.name}: {name}" for name in names}
    assert set(check.parity_module(fixture).needed(fixture)) == stored


def edited(folder: Path, file: str, remove: str = "", **added) -> list[check.Row]:
    """Returns the fixture's rows after removing the arrays that match, and adding others."""
    with np.load(folder / file) as old:
        arrays = {name: array for name, array in old.items() if not (remove and re.fullmatch(remove, name))}
    np.savez(folder / file, **arrays, **added)
    return check.verify(folder)


def test_removed_arrays_are_named(copy):
    """All but the logits are removed. The row of the logits passes, and the fixture fails."""
    *rows, last = edited(copy, "io.npz", "(?!logits).*")
    assert [row.comparison.array for row in rows] == ["logits"] and rows[0].passed
    assert last.problem.startswith(f"{copy}: the arrays input, layer1, layer2, pooled, stem are missing. A fix")
    assert not last.passed


@pytest.fixture
def post(tmp_path):
    """dekr_post, to spoil."""
    return Path(shutil.copytree(ROOT / "tests/golden/dekr_post", tmp_path / "post"))


def test_arrays_that_are_not_compared_are_named(post):
    (post / "four.npz").write_bytes((post / "two.npz").read_bytes())
    *rows, last = edited(post, "two.npz", scale9_heatmap=np.zeros(3))
    assert all(row.passed for row in rows)
    assert last.problem.startswith(f"{post}: these arrays were not compared: four.npz, two.npz: scale9_heatmap. ")


def test_a_missing_case(post):
    """It is missing in the manifest, then one of its arrays, then its file, then all cases."""
    manifest = json.loads((post / "manifest.json").read_text())
    (post / "manifest.json").write_text(json.dumps({name: manifest[name] for name in manifest if name != "two"}))
    assert "not compared: two.npz." in check.verify(post)[-1].problem
    (post / "manifest.json").write_text(json.dumps(manifest))
    assert "the arrays two.npz: keep are missing. " in edited(post, "two.npz", "keep")[-1].problem
    (post / "two.npz").unlink()
    assert "two.npz: this file does not exist" in check.verify(post)[-1].problem
    (post / "manifest.json").write_text("{}")
    assert "no case in" in check.verify(post)[-1].problem


def test_a_stored_array_that_the_port_does_not_have(copy):
    assert "the port has nothing called 'bottom'" in edited(copy, "io.npz", bottom=np.ones(3))[-1].problem


@pytest.mark.parametrize(("window", "side"), [(3, 24), (4, 32), (6, 24)])
def test_swin_of_other_sizes(tmp_path, window, side):
    """Odd and even windows. In the last case, one window fills the second stage's grid of 6 x 6, so nothing shifts."""
    rows = check.verify(swin_fixture(tmp_path / "swin", window, side))
    assert len(rows) == 10
    assert not [row for row in rows if not row.passed]


def test_resnet_of_other_sizes(resnet):
    rows = check.verify(resnet)
    assert [row.comparison.array for row in rows] == [
        "input", "stem", "layer1_0", "layer1", "layer1_1", "layer2_0", "layer2", "pooled", "logits"
    ]  # fmt: skip
    assert not [row for row in rows if not row.passed]


def test_a_wrong_epsilon_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(swin, "EPSILON", 1e-6)
    jax.clear_caches()  # the compiled network has the right one
    failed = [row.comparison.array for row in check.verify(swin_fixture(tmp_path / "swin")) if not row.passed]
    jax.clear_caches()
    assert "patch_embed" in failed


@pytest.mark.parametrize(("value", "shown"), [(1.0, "FAIL"), (np.nan, "FAIL"), (1e-7, "pass")])
def test_one_wrong_value_fails_its_row(copy, value, shown):
    with np.load(copy / "io.npz") as stored:
        arrays = dict(stored)
    arrays["tap_layer1"][3] += value
    np.savez(copy / "io.npz", **arrays)
    rows = check.verify(copy)
    assert [row.comparison.array for row in rows if not row.passed] == ["layer1"] * (shown == "FAIL")
    assert next(line for line in table.text_lines(rows) if " layer1 " in line).endswith(shown)


def test_another_shape_fails_its_row(copy, capsys):
    with np.load(copy / "io.npz") as stored:
        arrays = dict(stored) | {"logits": stored["logits"][:1]}
    np.savez(copy / "io.npz", **arrays)
    assert verify.main([str(copy), "--json"]) == 1
    failed = [row for row in json.loads(capsys.readouterr().out) if not row["passed"]]
    assert [(row["array"], row["error"], row["limit"]) for row in failed] == [("logits", None, 1e-5)]


def spoil_model(folder):
    change(folder, model="resnet5")


def spoil_field(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["mean"]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def spoil_tensors(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    change(folder, tensors=[entry for entry in manifest["tensors"] if entry[0] != "layer1.0.bn2.weight"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda folder: (folder / "manifest.json").write_text("[1]"),
            r"spoilt/manifest\.json: holds a list, not",
        ),
        (
            lambda folder: (folder / "manifest.json").write_text("3"),
            r"spoilt/manifest\.json: holds a int, not",
        ),
        (spoil_model, r"manifest\.json: no port of model 'resnet5'\. Known .*resnet50.*swin_b.*Correct the field"),
        (spoil_field, r"spoilt/manifest\.json: the field 'mean' is missing\. A fixture is"),
        (spoil_tensors, r"spoilt/manifest\.json: the field 'tensors': .*1 missing: layer1\.0\.bn2\.weight\. A fix"),
        (lambda folder: (folder / "manifest.json").unlink(), r"spoilt/manifest\.json.*A fixture is"),
        (lambda folder: (folder / "manifest.json").write_text("{"), r"spoilt/manifest\.json: not JSON.*A fixture is"),
        (lambda folder: (folder / "io.npz").unlink(), r"spoilt/io\.npz.*A fixture is"),
        (
            lambda folder: (folder / "io.npz").write_bytes(b"PK\3\4 cut"),
            r"spoilt/io\.npz: not a readable .*A fixture",
        ),
    ],
)
def test_fixtures_that_cannot_be_run(copy, spoil, message):
    spoil(copy)
    rows = check.verify(copy)
    assert not rows[-1].passed and rows[-1].comparison is None
    (line,) = table.text_lines(rows[-1:])
    assert line.endswith("FAIL")
    assert re.search(message, line), line
    assert ".." not in line and "Errno" not in line and "checkpoint:" not in line


def test_json_from_the_command(resnet, copy):
    """Of two fixtures, the first cannot be run. The second still runs, and stdout holds only JSON."""
    spoil_model(copy)
    command = [sys.executable, "-m", "ipa_jax", "verify", str(copy), str(resnet), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    first, *rest = json.loads(done.stdout)
    assert first.pop("problem").endswith("third_party_ports/parity.")
    assert first == {"fixture": str(copy), "array": None, "error": None, "kind": None, "limit": None, "passed": False}
    assert {row["fixture"] for row in rest} == {str(resnet)}
    assert all(row["passed"] and row["error"] <= row["limit"] and row["problem"] is None for row in rest)
    assert f"{resnet}: 9 rows in " in done.stderr


def test_exit_status_and_folders_of_fixtures(resnet, tmp_path, capsys):
    assert verify.main([str(resnet.parent)]) == 0
    shown = capsys.readouterr()
    assert [line.split()[-1] for line in shown.out.splitlines()] == ["pass"] * 9
    assert "9 rows, 0 fail" in shown.err
    assert verify.main([str(tmp_path / "absent"), str(resnet)]) == 1
    assert "absent/manifest.json" in capsys.readouterr().out


def test_the_table_of_a_readme(resnet, copy, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Ports\n{table.BEGIN}\nold\n{table.END}\nlast\n")
    assert verify.main([str(resnet), "--readme", str(readme)]) == 0
    once = readme.read_text()
    assert once.startswith(f"# Ports\n{table.BEGIN}\n| fixture |") and once.endswith(f"|\n{table.END}\nlast\n")
    assert "old" not in once and "| resnet | logits |" in once
    assert verify.main([str(resnet), "--readme", str(readme)]) == 0
    assert readme.read_text() == once
    spoil_model(copy)
    assert verify.main([str(copy), "--readme", str(readme)]) == 1
    assert readme.read_text() == once
    assert "was not changed" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["no markers", f"{table.END}\n{table.BEGIN}", table.BEGIN, None])
def test_a_readme_without_markers_is_refused_at_once(tmp_path, capsys, text):
    if text is not None:
        (tmp_path / "README.md").write_text(text)
    with pytest.raises(SystemExit):
        verify.main(["absent", "--readme", str(tmp_path / "README.md")])
    assert str(tmp_path / "README.md") in capsys.readouterr().err
