"""Tests of PyTorch files: real ones, ones written opcode by opcode, broken and hostile ones."""

import argparse
import datetime
import decimal
import pickle
import random
import re
import struct
import types
import uuid
import zipfile
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers import paths
from third_party_ports.checkpoints import files, torch_tensors
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.parity import torch_files as parity
from third_party_ports.parity import torch_zip
from third_party_ports.parity.fixture import Fixture

GOLDEN = paths.GOLDEN / "torch_files"
PLAIN = (GOLDEN / "plain.pth").read_bytes()
STREAM = pickle.dumps(0x1950A86A20F9469CFC6C, 2)  # the first pickle of a file from before PyTorch 1.6
BESIDE = [
    Counter([10, 20]), argparse.Namespace(lr=0.1), {1, 2}, frozenset((1, 2)), defaultdict(list, {"a": [1]}),
    datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), Path("/tmp/x"), np.float32(1), np.int64(2), np.dtype("f4"),
    decimal.Decimal("0.1"), OrderedDict(b=1), 1 + 2j, range(3), Exception("x"), uuid.UUID(int=1), 10**30, b"x",
    {(1, "a"): 1, None: 2, 0.5: 3, True: 4, b"k": 5}, re.compile("x"), types.SimpleNamespace(a=1),
]  # fmt: skip
FLOATS = np.arange(6, dtype="<f4").tobytes()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def value(number) -> bytes:
    """Returns the opcodes of a number or of a tuple of numbers."""
    return pickle.dumps(number, 2)[2:-1]


def storage(key="0", kind="FloatStorage", numel=6, view=b"") -> bytes:
    start = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu")
    return start + value(numel) + view + b"tQ"


def tensor(key="0", kind="FloatStorage", numel=6, offset=0, size=(2, 3), stride=(3, 1), view=b"") -> bytes:
    rest = value(offset) + value(size) + value(stride) + b"\x89" + b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(key, kind, numel, view) + rest + b"tR"


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


def read(path: Path) -> dict[str, np.ndarray]:
    return files.read(path).tensors


def refused(path: Path, *words: str) -> None:
    with pytest.raises(WeightsError) as caught:
        read(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_every_tensor_that_pytorch_wrote():
    rows = list(parity.compare(Fixture(GOLDEN)))
    assert len(rows) == 42
    assert all(row.passed for row in rows), rows


def test_the_parity_rows_see_a_wrong_value_type_and_name(monkeypatch):
    real = parity.files.read

    def wrong(path, wrappers):
        found = real(path, wrappers).tensors
        if path.name == "plain.pth":
            found |= {"a.view": found["a.view"] + 1, "n.int32": found["n.int32"].astype(np.int64), "new": np.ones(2)}
            del found["n.bool"]
        return files.WeightsFile(found, [])

    monkeypatch.setattr(parity.files, "read", wrong)
    failed = {row.array for row in parity.compare(Fixture(GOLDEN)) if not row.passed}
    assert failed == {f"plain.pth {name}" for name in ("a.view", "n.int32", "new", "n.bool")}


def test_tensors_are_read_only_views_of_shared_storages():
    found = read(GOLDEN / "plain.pth")
    assert np.shares_memory(found["a.strided"], found["a.view"])
    with pytest.raises(ValueError, match="read-only"):
        found["a.view"][0] = 1


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
    found = read(tmp_path / "a.pth")
    before = f"{wrapper}.{prefix}" if wrapper else prefix
    assert found.keys() == {before + name for name in tensors}
    for name, written in tensors.items():
        assert found[before + name].dtype == written.dtype
        np.testing.assert_array_equal(found[before + name], written)


def test_other_orders_of_axes_are_kept(tmp_path):
    matrix = np.arange(6.0).reshape(2, 3).T
    torch_zip.write(tmp_path / "a.pth", {"a": matrix})
    np.testing.assert_array_equal(read(tmp_path / "a.pth")["a"], matrix)


def test_the_writers_storages_are_aligned(tmp_path):
    """PyTorch can then map the file: storages begin at multiples of 64 bytes."""
    torch_zip.write(tmp_path / "a.pth", {"a": np.ones(3, np.float32), "bc": np.ones(5)})
    for tensor_ in read(tmp_path / "a.pth").values():
        assert tensor_.ctypes.data % 64 == 0


def test_expanded_and_transposed_views(tmp_path):
    content = entries(
        turned=tensor(size=(3, 2), stride=(1, 3)),
        wide=tensor(size=(4, 2), stride=(0, 1), offset=1),
        last=tensor(size=(), stride=(), offset=5),
        none=tensor(size=(0, 9), stride=(9, 1), offset=99),
        bytes_=tensor("1", "UntypedStorage", 3, 1, (2,), (1,)),
    )
    found = read(archive(tmp_path / "a.pth", content, {"0": FLOATS, "1": b"abc"}))
    np.testing.assert_array_equal(found["turned"], np.arange(6).reshape(2, 3).T)
    np.testing.assert_array_equal(found["wide"], [[1, 2]] * 4)
    assert found["last"] == 5
    assert found["none"].shape == (0, 9)
    assert bytes(found["bytes_"]) == b"bc"


def test_an_order_of_bytes_that_nobody_knows_is_refused(tmp_path):
    path = archive(tmp_path / "a.pth", entries(a=tensor()), {"0": bytes(24)}, byteorder=b"middle")
    with pytest.raises(WeightsError, match="its byteorder is b'middle'"):
        files.read(path, ())


@pytest.mark.parametrize("kind", ["FloatStorage", "HalfStorage", "BFloat16Storage", "LongStorage"])
def test_big_endian_files(tmp_path, kind):
    numbers = np.arange(6).astype(torch_tensors.DTYPES[kind])
    held = numbers.view(f"u{numbers.itemsize}").byteswap().tobytes()
    path = archive(tmp_path / "a.pth", entries(a=tensor(kind=kind)), {"0": held}, byteorder=b"big")
    np.testing.assert_array_equal(read(path)["a"].astype(int), np.arange(6).reshape(2, 3))


def test_anything_but_tensors_is_left_out(tmp_path):
    """Such as the states of generators and optimizers."""
    content = entries(
        scalar=value(np.float64(3)),
        python=value(random.getstate()),
        numpy=value(np.random.default_rng(0).bit_generator.state),
        optimizer=value({"state": {}, "groups": [{"lr": 0.1, "params": [0, 1]}]}),
        epoch=value(3),
        state_dict=b"}(" + text("w") + tensor() + b"u",
        pair=tensor() + tensor() + b"\x86",
    )
    assert read(archive(tmp_path / "a.pth", content)).keys() == {"state_dict.w"}


@pytest.mark.parametrize("beside", BESIDE, ids=lambda beside: type(beside).__name__)
def test_objects_beside_the_tensors_are_inert(tmp_path, beside):
    """Whatever class they are of. Nothing of it is looked up."""
    for protocol in (0, 2, 4):
        other = pickle.dumps(beside, protocol)[2 if protocol else 0 : -1]
        content = entries(beside=other, a=tensor())
        assert read(archive(tmp_path / "a.pth", content)).keys() == {"a"}


def test_objects_that_cannot_be_imported_are_inert(tmp_path):
    ways = {
        "reduce": b"cmmcv.utils\nConfig\n(" + text("x") + b"tR",
        "new": b"c__main__\nArguments\n)\x81}(" + text("lr") + value(0.1) + b"ub",
        "dict": b"ceasydict\nEasyDict\n)R(" + text("w") + tensor() + b"u",
        "list": b"comegaconf\nListConfig\n)R(" + value(1) + b"e",
        "size": b"ctorch\nSize\n(" + value((3, 4)) + b"tR",
        "device": b"ctorch\ndevice\n(" + text("cuda") + b"tR",
        "dtype": b"ctorch\nfloat32\n",
        "obj": b"(c__main__\nOld\n" + value(1) + b"o",
        "inst": b"(" + value(1) + b"i__main__\nOld\n",
        "set": b"\x8f(" + value(1) + b"\x90",
    }
    path = archive(tmp_path / "a.pth", entries(a=tensor(), **ways))
    assert read(path).keys() == {"a", "dict.w"}  # a dict of another class is still a dict


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy_arrays_are_read(tmp_path, protocol, dtype, order):
    array = np.asarray(np.arange(6).reshape(2, 3).astype(dtype), order=order)
    pickled = pickle.dumps(array, protocol)[2 if protocol else 0 : -1]
    found = read(archive(tmp_path / "a.pth", entries(model=b"}(" + text("w") + pickled + b"u")))
    np.testing.assert_array_equal(found["model.w"], array)
    assert found["model.w"].dtype == array.dtype


def call(name: str, *arguments: bytes) -> bytes:
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n(".encode() + b"".join(arguments) + b"tR"


def rebuilt(way: str) -> bytes:
    """Returns the opcodes of `tensor()` as PyTorch rebuilds it in another way."""
    arguments = tensor()[len(b"ctorch._utils\n_rebuild_tensor_v2\n") : -1]  # of _rebuild_tensor_v2, a tuple
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    return {
        "parameter": call("torch._utils._rebuild_parameter", tensor(), hooks),
        "parameter_state": call("torch._utils._rebuild_parameter_with_state", tensor(), hooks, b"}"),
        "subclass": call("torch._tensor._rebuild_from_type_v2", b"ctorch._utils\n_rebuild_tensor_v2\n",
                         b"c__main__\nMine\n", arguments, b"}"),
        "v1": b"ctorch._utils\n_rebuild_tensor\n" + arguments + b"R",
        "v3": b"ctorch._utils\n_rebuild_tensor_v3\n(" + storage("0", "UntypedStorage", 24) + value(0) +
              value((2, 3)) + value((3, 1)) + hooks + b"ctorch\nfloat32\nNtR",
    }[way]  # fmt: skip


@pytest.mark.parametrize("way", ["parameter", "parameter_state", "subclass", "v1", "v3"])
def test_every_way_to_rebuild_a_tensor(tmp_path, way):
    found = read(archive(tmp_path / "a.pth", entries(a=rebuilt(way))))
    np.testing.assert_array_equal(found["a"], np.arange(6, dtype=np.float32).reshape(2, 3))


def test_tensors_that_cannot_be_read_are_named_if_they_are_needed(tmp_path):
    float8 = b"ctorch._utils\n_rebuild_tensor_v3\n(" + storage("0", "UntypedStorage", 24) + value(0) + value((24,))
    float8 += value((1,)) + b"\x89ccollections\nOrderedDict\n)Rctorch\nfloat8_e4m3fn\nNtR"
    for content, words in (
        (float8, ("tensor a ", "float8_e4m3fn")),
        (call("torch._utils._rebuild_qtensor", value(1)), ("tensor a ", "_rebuild_qtensor")),
        (tensor(kind="ComplexFloatStorage", numel=3, size=(3,), stride=(1,)), ("tensor a ", "complex64")),
        (value(np.array([{}, None], object)), ("tensor a ", "O8")),
    ):
        refused(archive(tmp_path / "a.pth", entries(a=content)), *words)
        model = b"}(" + text("w") + tensor("1") + b"u"
        beside = archive(tmp_path / "b.pth", entries(model=model, a=content), {"0": FLOATS, "1": FLOATS})
        assert files.read(beside, ("model",)).tensors.keys() == {"w"}


def test_a_saved_network_is_named(tmp_path):
    network = b"cnets\nNetwork\n)\x81}(" + text("_modules") + b"}ub"
    refused(archive(tmp_path / "a.pth", b"\x80\x02" + network + b"."), "nets.Network", "state_dict")
    refused(archive(tmp_path / "a.pth", entries(model=network)), "nets.Network", "state_dict")


def test_a_dict_that_contains_itself(tmp_path):
    content = b"\x80\x02}q\x00(" + text("again") + b"h\x00" + text("a") + tensor() + b"u."
    assert read(archive(tmp_path / "a.pth", content)).keys() == {"a"}


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (b"cos\nsystem\n(" + text("touch CANARY") + b"tR", "os.system"),
        (b"cposix\nsystem\n(" + text("touch CANARY") + b"tR", "posix.system"),
        (b"cbuiltins\neval\n(" + text("open('CANARY', 'w')") + b"tR", "builtins.eval"),
        (text("os") + text("system") + b"\x93" + text("touch CANARY") + b"\x85R", "os.system"),
        (b"(" + text("touch CANARY") + b"ios\nsystem\n", "os.system"),
        (text("torch._utils") + text("_rebuild_tensor_v2.__globals__") + b"\x93", "__globals__"),
        (b"cnumpy\nload\n(" + text("CANARY") + b"tR", "numpy.load"),
        (b"ctorch\nload\n(" + text("CANARY") + b"tR", "torch.load"),
        (b"cbuiltins\ngetattr\n(" + text("x") + text("y") + b"tR", "builtins.getattr"),
        (b"csubprocess\nPopen\n(" + text("touch CANARY") + b"tR", "subprocess.Popen"),
        (b"crunpy\nrun_path\n(" + text("CANARY") + b"tR", "runpy.run_path"),
    ],
)
def test_what_runs_code_is_refused_by_name(tmp_path, monkeypatch, call, named):
    monkeypatch.chdir(tmp_path)
    refused(archive(tmp_path / "evil.pth", entries(a=tensor(), b=call)), named, "runs code")
    (tmp_path / "old.pth").write_bytes(STREAM + call)
    with pytest.raises(WeightsError):
        read(tmp_path / "old.pth")
    assert not (tmp_path / "CANARY").exists()


def test_a_pickle_cannot_spoil_the_next_one(tmp_path):
    """BUILD sets attributes of any object on the stack, such as the defaults of a function."""
    state = b"N}(" + text("__defaults__") + value((1, 2, 3, 4, 5)) + b"u\x86b"
    evil = entries(a=b"ctorch._utils\n_rebuild_tensor_v2\n" + state, b=b"ccollections\nOrderedDict\n)R" + state)
    refused(archive(tmp_path / "evil.pth", evil), "no tensors")
    assert read(GOLDEN / "plain.pth")["a.weight"].shape == (4, 3, 3, 3)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"offset": 1}, "beyond its storage"),
        ({"size": (3, 3)}, "beyond its storage"),
        ({"stride": (4, 1)}, "beyond its storage"),
        ({"size": (2**62, 2), "stride": (1, 1)}, "impossible size"),
        ({"size": (2**40, 2**40), "stride": (0, 0)}, "a.pth"),
        ({"offset": -1}, "offset -1"),
        ({"stride": (-3, 1)}, "strides (-3, 1)"),
        ({"size": (-1, 3)}, "size (-1, 3)"),
        ({"stride": (3,)}, "strides (3,)"),
        ({"size": 6}, "not a readable"),
        ({"offset": 0.5}, "offset 0.5"),
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
    (tmp_path / "old.pth").write_bytes(STREAM + entries(a=value(1) + put))
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
        found = read(tmp_path / "a.pth")
    except WeightsError:
        return
    whole = read(GOLDEN / "plain.pth")
    assert found.keys() == whole.keys()
    for name in whole:
        np.testing.assert_array_equal(found[name], whole[name])


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
        refused(tmp_path / "a.pth", "not a readable")


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
    found = read(tmp_path / "a.pth")["a"]
    np.testing.assert_array_equal(found.view(np.uint16), np.array([0x3FC0, 0x8380, 0x7F62], np.uint16))
