"""Tests of reading files: the same tensors from every format, wrappers, and files that hold no weights."""

from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from third_party_ports.checkpoints import files
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.parity import torch_zip

TENSORS = {
    "conv.0.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "conv.0.bias": np.ones(2, np.float16),
    "steps": np.array(7),
    "none": np.zeros((0, 3), np.float32),
}


def write_hdf5(path: Path, tensors: dict[str, np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        for name, tensor in tensors.items():
            file[name.replace(".", "/")] = tensor
        file["note"] = "text is no tensor"


WRITERS = {
    ".pth": torch_zip.write,
    ".safetensors": lambda path, tensors: save_file(tensors, path),
    ".npz": lambda path, tensors: np.savez(path, **tensors),
    ".h5": write_hdf5,
}


def written(folder: Path, suffix: str, tensors: dict[str, np.ndarray], name: str | None = None) -> Path:
    path = folder / f"net{suffix}"
    WRITERS[suffix](path, tensors)
    return path.rename(folder / name) if name else path


def tensors(path: Path, wrappers: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    return files.read(path, wrappers).tensors


def refused(path: Path, *words: str) -> None:
    with pytest.raises(WeightsError) as caught:
        files.read(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("name", [None, "pytorch_model.bin"])
@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_whatever_its_name(tmp_path, suffix, name):
    read = tensors(written(tmp_path, suffix, TENSORS, name))
    assert read.keys() == TENSORS.keys()
    for key, tensor in TENSORS.items():
        assert (read[key].dtype, read[key].shape) == (tensor.dtype, tensor.shape)
        np.testing.assert_array_equal(read[key], tensor)


def test_bfloat16_in_safetensors(tmp_path):
    path = written(tmp_path, ".safetensors", {"a": np.arange(3).astype(ml_dtypes.bfloat16)})
    np.testing.assert_array_equal(tensors(path)["a"].astype(np.float32), [0, 1, 2])


@pytest.mark.parametrize("suffix", WRITERS)
def test_wrappers(tmp_path, suffix):
    """Takes the first of the network's wrappers that the file has, and nothing beside it."""
    inside = {
        f"{wrapper}.{n}": np.asarray(t + t.dtype.type(k))
        for k, wrapper in enumerate(("state_dict", "best"))
        for n, t in TENSORS.items()
    }
    path = written(tmp_path, suffix, inside | {"optimizer.0": np.ones(3)})
    for wrappers, added in ((("best", "state_dict"), 1), (("model", "state_dict", "best"), 0)):
        read = tensors(path, wrappers)
        assert read.keys() == TENSORS.keys()
        np.testing.assert_array_equal(read["conv.0.weight"], TENSORS["conv.0.weight"] + added)
    assert len(tensors(path)) == 2 * len(TENSORS) + 1


def test_a_file_without_the_networks_wrapper(tmp_path):
    assert tensors(written(tmp_path, ".pth", TENSORS), ("model",)).keys() == TENSORS.keys()


def test_arrays_beside_a_wrapper_in_npz_are_not_loaded(tmp_path):
    arrays = {"opt/target/a/kernel": np.ones((2, 3)), "opt/state/a": np.array([None]), "opt/targets": np.array([{}])}
    np.savez(tmp_path / "a.npz", **arrays)
    read = tensors(tmp_path / "a.npz", ("absent", "opt.target"))
    assert {name: tensor.shape for name, tensor in read.items()} == {"a.kernel": (2, 3)}
    refused(tmp_path / "a.npz", "numpy.savez")


def test_objects_in_npz_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([{}, None], dtype=object))
    refused(tmp_path / "a.npz", "numpy.savez")


def test_hdf5_does_not_reach_outside_its_file_or_memory(tmp_path):
    (tmp_path / "secret").write_bytes(b"12345678")
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        file.create_dataset("a", (8,), "u1", external=[(str(tmp_path / "secret"), 0, 8)])
    refused(tmp_path / "outside.h5", "a is stored outside the file")
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("a", (10**12,), "f4", chunks=(1024,))
    refused(tmp_path / "huge.h5", "more memory than")


@pytest.mark.parametrize("suffix", WRITERS)
def test_files_that_are_cut_short(tmp_path, suffix):
    path = written(tmp_path, suffix, TENSORS)
    content = path.read_bytes()
    for length in (len(content) // 2, 20):
        path.write_bytes(content[:length])
        refused(path, "not a readable")


def test_files_without_weights(tmp_path):
    refused(tmp_path / "absent.pth", "does not exist")
    refused(tmp_path, "does not exist")
    (tmp_path / "page.pth").write_text("\n<!DOCTYPE html><html>Sign in to download</html>")
    refused(tmp_path / "page.pth", "a web page")
    (tmp_path / "empty.npz").write_bytes(b"")
    refused(tmp_path / "empty.npz", "not a readable")
    refused(written(tmp_path, ".npz", {}), "holds no tensors")
    refused(written(tmp_path, ".pth", {}), "holds no tensors")
