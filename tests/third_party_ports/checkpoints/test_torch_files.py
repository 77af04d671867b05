"""Tests of PyTorch files: real ones, ones written opcode by opcode, broken and hostile ones."""

import pickle
import random
import struct
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers import paths
from third_party_ports.checkpoints import torch_files
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.parity import torch_files as parity
from third_party_ports.parity import torch_zip
from third_party_ports.parity.fixture import Fixture

GOLDEN = paths.GOLDEN / "torch_files"
PLAIN = (GOLDEN / "plain.pth").read_bytes()
FLOATS = np.arange(6, dtype="<f4").tobytes()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def value(number) -> bytes:
    """Returns the opcodes of a number or of a tuple of numbers."""
    return pickle.dumps(number, 2)[2:-1]


def tensor(key="0", kind="FloatStorage", numel=6, offset=0, size=(2, 3), stride=(3, 1), view=b"") -> bytes:
    storage = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + value(numel)
    rest = value(offset) + value(size) + value(stride) + b"\x89" + b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + view + b"tQ" + rest + b"tR"


def entries(**items: bytes) -> bytes:
    """Returns the pickle of a dict."""
    return b"\x80\x02}(" + b"".join(text(name) + item for name, item in items.items()) + b"u."


def archive(path: Path, content: bytes, storages=None, method=zipfile.ZIP_STORED, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("net/data.pkl", content)
        for key, held in ({"0": FLOATS} if storages is None else storages).items():
            file.writestr(f"net/data/{key}", held)
        for name, held in more.items():
            file.writestr(f"net/{name.replace('_dot_', '.')}", held)
    return path


def refused(path: Path, *words: str) -> None:
    with pytest.raises(WeightsError) as caught:
        torch_files.read(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_every_tensor_that_pytorch_wrote():
    rows = list(parity.compare(Fixture(GOLDEN)))
    assert len(rows) == 42
    assert all(row.passed for row in rows), rows


def test_the_parity_rows_see_a_wrong_value_type_and_name(monkeypatch):
    real = parity.files.read

    def wrong(path, wrappers):
        read = real(path, wrappers)
        if path.name == "plain.pth":
            read |= {"a.view": read["a.view"] + 1, "n.int32": read["n.int32"].astype(np.int64), "new": np.ones(2)}
            del read["n.bool"]
        return read

    monkeypatch.setattr(parity.files, "read", wrong)
    failed = {row.array for row in parity.compare(Fixture(GOLDEN)) if not row.passed}
    assert failed == {f"plain.pth {name}" for name in ("a.view", "n.int32", "new", "n.bool")}


def test_tensors_are_read_only_views_of_shared_storages():
    read = torch_files.read(GOLDEN / "plain.pth")
    assert np.shares_memory(read["a.strided"], read["a.view"])
    with pytest.raises(ValueError, match="read-only"):
        read["a.view"][0] = 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=4).map(tuple), min_size=1, max_size=4),
    dtype=st.sampled_from([*torch_zip.STORAGES]),
    wrapper=st.sampled_from([None, "model"]),
    prefix=st.sampled_from(["", "module."]),
)
def test_what_is_written_is_read(tmp_path, shapes, dtype, wrapper, prefix):
    rng = np.random.default_rng(0)
    tensors = {f"layer.{n}.é": rng.integers(0, 2, shape).astype(dtype) for n, shape in enumerate(shapes)}
    torch_zip.write(tmp_path / "a.pth", tensors, wrapper=wrapper, prefix=prefix, extra={"epoch": -1, "note": "x"})
    read = torch_files.read(tmp_path / "a.pth")
    before = f"{wrapper}.{prefix}" if wrapper else prefix
    assert read.keys() == {before + name for name in tensors}
    for name, written in tensors.items():
        assert read[before + name].dtype == written.dtype
        np.testing.assert_array_equal(read[before + name], written)


def test_other_orders_of_axes_are_kept(tmp_path):
    matrix = np.arange(6.0).reshape(2, 3).T
    torch_zip.write(tmp_path / "a.pth", {"a": matrix})
    np.testing.assert_array_equal(torch_files.read(tmp_path / "a.pth")["a"], matrix)


def test_the_writers_storages_are_aligned(tmp_path):
    """PyTorch can then map the file: storages begin at multiples of 64 bytes."""
    torch_zip.write(tmp_path / "a.pth", {"a": np.ones(3, np.float32), "bc": np.ones(5)})
    for tensor_ in torch_files.read(tmp_path / "a.pth").values():
        assert tensor_.ctypes.data % 64 == 0


def test_expanded_and_transposed_views(tmp_path):
    content = entries(
        turned=tensor(size=(3, 2), stride=(1, 3)),
        wide=tensor(size=(4, 2), stride=(0, 1), offset=1),
        last=tensor(size=(), stride=(), offset=5),
        none=tensor(size=(0, 9), stride=(9, 1), offset=99),
        bytes_=tensor("1", "UntypedStorage", 3, 1, (2,), (1,)),
    )
    read = torch_files.read(archive(tmp_path / "a.pth", content, {"0": FLOATS, "1": b"abc"}))
    np.testing.assert_array_equal(read["turned"], np.arange(6).reshape(2, 3).T)
    np.testing.assert_array_equal(read["wide"], [[1, 2]] * 4)
    assert read["last"] == 5
    assert read["none"].shape == (0, 9)
    assert bytes(read["bytes_"]) == b"bc"


@pytest.mark.parametrize("kind", ["FloatStorage", "HalfStorage", "BFloat16Storage", "LongStorage"])
def test_big_endian_files(tmp_path, kind):
    numbers = np.arange(6).astype(torch_files.DTYPES[kind])
    held = numbers.view(f"u{numbers.itemsize}").byteswap().tobytes()
    path = archive(tmp_path / "a.pth", entries(a=tensor(kind=kind)), {"0": held}, byteorder=b"big")
    np.testing.assert_array_equal(torch_files.read(path)["a"].astype(int), np.arange(6).reshape(2, 3))


def test_anything_but_tensors_is_left_out(tmp_path):
    """Such as the states of generators and optimizers. NumPy objects are never built."""
    content = entries(
        numpy=value(np.random.default_rng(0).normal(size=3)),
        scalar=value(np.float64(3)),
        python=value(random.getstate()),
        optimizer=value({"state": {}, "groups": [{"lr": 0.1, "params": [0, 1]}]}),
        epoch=value(3),
        state_dict=b"}(" + text("w") + tensor() + b"u",
        pair=tensor() + tensor() + b"\x86",
    )
    assert torch_files.read(archive(tmp_path / "a.pth", content)).keys() == {"state_dict.w"}


def test_a_dict_that_contains_itself(tmp_path):
    content = b"\x80\x02}q\x00(" + text("again") + b"h\x00" + text("a") + tensor() + b"u."
    assert torch_files.read(archive(tmp_path / "a.pth", content)).keys() == {"a"}


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (b"cos\nsystem\n(" + text("touch CANARY") + b"tR", "os.system"),
        (b"cposix\nsystem\n(" + text("touch CANARY") + b"tR", "posix.system"),
        (b"cbuiltins\neval\n(" + text("open('CANARY', 'w')") + b"tR", "builtins.eval"),
        (text("os") + text("system") + b"\x93" + text("touch CANARY") + b"\x85R", "os.system"),
        (b"(" + text("touch CANARY") + b"ios\nsystem\n", "os.system"),
        (text("collections") + text("OrderedDict.fromkeys") + b"\x93)R", "collections.OrderedDict.fromkeys"),
        (text("torch._utils") + text("_rebuild_tensor_v2.__globals__") + b"\x93", "__globals__"),
        (b"cnumpy\nload\n(" + text("CANARY") + b"tR", "numpy.load"),
        (b"ctorch\nload\n(" + text("CANARY") + b"tR", "torch.load"),
        (b"ctorch\nComplexFloatStorage\n", "torch.ComplexFloatStorage"),
        (b"c__main__\nNetwork\n)\x81", "__main__.Network"),
    ],
)
def test_no_other_name_is_looked_up(tmp_path, monkeypatch, call, named):
    monkeypatch.chdir(tmp_path)
    refused(archive(tmp_path / "evil.pth", entries(a=tensor(), b=call)), named, "torch.save")
    (tmp_path / "old.pth").write_bytes(torch_files.STREAM + call)
    with pytest.raises(WeightsError):
        torch_files.read(tmp_path / "old.pth")
    assert not (tmp_path / "CANARY").exists()


def test_a_pickle_cannot_spoil_the_next_one(tmp_path):
    """BUILD sets attributes of any object on the stack, such as the defaults of a function."""
    state = b"N}(" + text("__defaults__") + value((1, 2, 3, 4, 5)) + b"u\x86b"
    evil = entries(a=b"ctorch._utils\n_rebuild_tensor_v2\n" + state, b=b"ccollections\nOrderedDict\n)R" + state)
    torch_files.read(archive(tmp_path / "evil.pth", evil))
    assert torch_files.read(GOLDEN / "plain.pth")["a.weight"].shape == (4, 3, 3, 3)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"offset": 1}, "beyond its storage"),
        ({"size": (3, 3)}, "beyond its storage"),
        ({"stride": (4, 1)}, "beyond its storage"),
        ({"size": (2**62, 2), "stride": (1, 1)}, "beyond its storage"),
        ({"size": (2**40, 2**40), "stride": (0, 0)}, "a.pth"),
        ({"offset": -1}, "offset -1"),
        ({"stride": (-3, 1)}, "strides (-3, 1)"),
        ({"size": (-1, 3)}, "size (-1, 3)"),
        ({"stride": (3,)}, "strides (3,)"),
        ({"size": 6}, "not a readable"),
        ({"offset": 0.5}, "not a readable"),
        ({"numel": 7}, "holds 24 bytes and should hold 7 float32"),
        ({"numel": 10**15}, "should hold 1000000000000000"),
        ({"numel": -6}, "should hold -6"),
        ({"kind": "DoubleStorage"}, "should hold 6 float64"),
        ({"key": "1"}, "storage 1 is missing"),
        ({"key": "../../data.pkl"}, "is missing"),
        ({"view": value((1, 2, 3))}, "of an unknown kind"),
    ],
)
def test_views_and_storages_that_do_not_fit(tmp_path, fields, word):
    refused(archive(tmp_path / "a.pth", entries(a=tensor(**fields))), word)


def test_an_impossible_memo_index(tmp_path):
    """The unpickler would reserve 64 GB."""
    put = b"r" + struct.pack("<I", 2**32 - 1)
    refused(archive(tmp_path / "a.pth", entries(a=tensor() + put)), "impossible number")
    (tmp_path / "old.pth").write_bytes(torch_files.STREAM + b"\xf9\x20\x6a\xa8\x50\x19." + entries(a=value(1) + put))
    refused(tmp_path / "old.pth", "impossible number")


def test_one_storage_of_two_types(tmp_path):
    refused(archive(tmp_path / "a.pth", entries(a=tensor(), b=tensor(kind="IntStorage"))), "two types or sizes")


def test_zips_that_pytorch_did_not_write(tmp_path):
    refused(archive(tmp_path / "packed.pth", entries(a=tensor()), method=zipfile.ZIP_DEFLATED), "compressed")
    refused(archive(tmp_path / "script.pt", entries(a=tensor()), constants_dot_pkl=b"\x80\x02)."), "TorchScript")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("readme.txt", "weights")
    refused(tmp_path / "other.zip", "without NAME/data.pkl")


def test_an_entry_of_impossible_size(tmp_path):
    """The directory says that an entry has 4 GB. So much memory is never requested."""
    archive(tmp_path / "a.pth", entries(a=tensor()))
    content = bytearray((tmp_path / "a.pth").read_bytes())
    place = content.rindex(b"net/data/0") - 46  # its record in the directory
    content[place + 20 : place + 28] = struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0)
    (tmp_path / "a.pth").write_bytes(content)
    refused(tmp_path / "a.pth", "larger than the file")


@pytest.mark.parametrize("file", ["plain.pth", "legacy_before_1_6.pth"])
def test_files_that_are_cut_short(tmp_path, file):
    content = (GOLDEN / file).read_bytes()
    for length in (0, 1, 4, 9, 100, 600, len(content) // 2, len(content) - 30, len(content) - 1):
        (tmp_path / "cut.pth").write_bytes(content[:length])
        refused(tmp_path / "cut.pth", "Download the file again")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, len(PLAIN) - 1), byte=st.integers(0, 255))
def test_a_damaged_byte_is_detected_or_harmless(tmp_path, place, byte):
    """Checksums protect the numbers, and damage raises nothing but WeightsError."""
    damaged = bytearray(PLAIN)
    damaged[place] = byte
    (tmp_path / "a.pth").write_bytes(damaged)
    try:
        read = torch_files.read(tmp_path / "a.pth")
    except WeightsError:
        return
    whole = torch_files.read(GOLDEN / "plain.pth")
    assert read.keys() == whole.keys()
    for name in whole:
        np.testing.assert_array_equal(read[name], whole[name])


def test_old_streams_are_checked(tmp_path):
    content = (GOLDEN / "legacy_before_1_6.pth").read_bytes()
    counts = content.replace(struct.pack("<q", 48), struct.pack("<q", 47))
    assert counts != content
    (tmp_path / "a.pth").write_bytes(counts)
    refused(tmp_path / "a.pth", "holds 47 numbers and should hold 48")


def test_files_that_pytorch_did_not_write(tmp_path):
    refused(tmp_path / "absent.pth", "does not exist")
    for content in (b"", b"PK\x03\x04", bytes(range(7, 107)), b"\x80\x02}."):
        (tmp_path / "a.pth").write_bytes(content)
        refused(tmp_path / "a.pth", "not a readable PyTorch file")


def test_other_pickles_have_their_own_message(tmp_path):
    """The download is fine, but has to be saved in another way."""
    for protocol in (0, 1, 2, 5):
        (tmp_path / "a.pth").write_bytes(pickle.dumps({"a": [1.0]}, protocol))
        refused(tmp_path / "a.pth", "a pickle that torch.save did not write")
    machine = pickle.dumps(1001, 2) + pickle.dumps({"a": [1.0]}, 2) * 3
    (tmp_path / "a.pth").write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + machine)
    refused(tmp_path / "a.pth", "what follows is unknown. Only tensors can be read")


def test_bfloat16_is_exact(tmp_path):
    torch_zip.write(tmp_path / "a.pth", {"a": np.array([1.5, -(2**-120), 3e38], ml_dtypes.bfloat16)})
    read = torch_files.read(tmp_path / "a.pth")["a"]
    np.testing.assert_array_equal(read.view(np.uint16), np.array([0x3FC0, 0x8380, 0x7F62], np.uint16))
