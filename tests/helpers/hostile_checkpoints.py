"""Checkpoint files made to do harm: to run code, to ask for memory or time without end, to reach other files."""

import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

FLOATS = np.arange(6, dtype="<f4").tobytes()
MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
CASES: dict[str, Callable[[], bytes]] = {}


def case(make: Callable[[], bytes]) -> Callable[[], bytes]:
    CASES[make.__name__] = make
    return make


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def value(number: object) -> bytes:
    """The opcodes of a number or of a tuple of numbers."""
    return pickle.dumps(number, 2)[2:-1]


def tensor(size: bytes = value((2, 3)), stride: bytes = value((3, 1)), offset: bytes = b"K\0", numel: int = 6) -> bytes:
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + value(numel) + b"tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + size + stride + b"\x89}tR"


def packed(content: bytes, method: int = zipfile.ZIP_STORED, **more: bytes) -> bytes:
    """A .pth file of a pickle's opcodes, with a dict that holds the tensor `a` and the `content`."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("net/data.pkl", b"\x80\x02}(" + text("a") + content + b"u.")
        archive.writestr("net/data/0", FLOATS)
        for name, held in more.items():
            archive.writestr(name, held)
    return out.getvalue()


def beside(content: bytes) -> bytes:
    return packed(tensor() + text("b") + content)


@case
def nested_tuple_as_a_key() -> bytes:
    return beside(b"}((K\1K\2t" + b"q\x01h\x01\x86" * 60 + b"K\1u")


@case
def deep_tuple_as_a_key() -> bytes:
    return beside(b"}(" + b")" + b"\x85" * 200_000 + b"K\1u")


@case
def many_opcodes() -> bytes:
    return beside(b"]0" * 5_000_000 + b"N")


@case
def many_empty_dicts() -> bytes:
    return beside(b"(" + b"}" * 20_000_000 + b"t")


@case
def memo_index() -> bytes:
    return beside(b"Nr" + struct.pack("<I", 2**32 - 1))


@case
def memo_indices_of_one_hash() -> bytes:
    return beside(b"N" + b"".join(b"p%d\n" % (n * (2**61 - 1)) for n in range(1, 50_000)))


@case
def keys_of_one_hash() -> bytes:
    return beside(b"}(" + b"".join(value(n * (2**61 - 1)) + b"N" for n in range(1, 50_000)) + b"u")


@case
def dicts_inside_each_other() -> bytes:
    return packed(b"}(" + text("a") * 1 + (b"}(" + text("a")) * 3000 + tensor() + b"u" * 3001)


@case
def dicts_that_double() -> bytes:
    level: dict = {}
    for _ in range(28):
        level = {"x": level, "y": level}
    return packed(pickle.dumps(level, 2)[2:-1] + text("b") + tensor())


@case
def long_names() -> bytes:
    name = b"h\0"
    return packed(text("k" * 1_000_000) + b"q\0" + b"0" + (b"}(" + name) * 30 + tensor() + b"u" * 30)


@case
def huge_number() -> bytes:
    return packed(tensor(size=b"\x8b" + struct.pack("<i", 3_000_000) + b"\x7f" * 3_000_000 + b"\x85"))


@case
def huge_length() -> bytes:
    return beside(b"\x8d" + struct.pack("<Q", 2**62) + b"x")


@case
def long_decimal() -> bytes:
    return beside(b"I" + b"9" * 3_000_000 + b"\n")


@case
def expanded_to_terabytes() -> bytes:
    return packed(tensor(size=value((2**20, 2**20)), stride=value((0, 0))))


@case
def expanded_to_gigabytes() -> bytes:
    return packed(tensor(size=value((2**28,)), stride=value((0,))))


@case
def many_small_expansions() -> bytes:
    parts = [tensor(size=value((2**22,)), stride=value((0,))) for _ in range(500)]
    return packed(b"N" + b"".join(text(f"t{n}") + part for n, part in enumerate(parts)))


@case
def negative_stride() -> bytes:
    return packed(tensor(stride=value((-3, 1))))


@case
def negative_offset() -> bytes:
    return packed(tensor(offset=value(-4)))


@case
def storage_beyond_the_file() -> bytes:
    return packed(tensor(numel=2**40))


@case
def size_of_tuples() -> bytes:
    return packed(tensor(size=b"((K\1t" + b"q\x01h\x01\x86" * 60 + b"t", stride=b")"))


@case
def array_of_two_to_the_45() -> bytes:
    dtype = (
        b"cnumpy\ndtype\n(" + text("f4") + b"\x89\x88tR(K\3" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    )
    build = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + value((0,)) + b"C\1btR"
    return packed(build + b"(K\1" + value((2**45,)) + dtype + b"\x89" + b"C\4abcdtb")


@case
def text_encoded_ten_thousand_times() -> bytes:
    """Arrays of one shared text: 1 GB of numbers in a file of 1 MB."""
    dtype = b"cnumpy\ndtype\n(" + text("u1") + b"\x89\x88tRq\4"
    held = b"c_codecs\nencode\n(" + text("x" * 1_000_000) + text("latin1") + b"tRq\3"
    new = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + value((0,)).replace(b"q\0", b"") + b"C\1btR"
    array = new + b"(K\1" + value((10**6,)).replace(b"q\0", b"") + b"h\4\x89h\3tb"
    arrays = b"".join(text(f"t{n}") + array for n in range(10_000))
    return packed(tensor() + text("held") + held + text("dtype") + dtype + arrays)


@case
def a_call_of_a_call() -> bytes:
    nested = b"ctorch._tensor\n_rebuild_from_type_v2\n"
    return packed(nested + (b"(" + nested + b"N") * 10_000 + b")" + b"}t" * 10_000 + b"R")


@case
def a_parameter_of_itself() -> bytes:
    return packed(b"]q\1(ctorch._utils\n_rebuild_parameter\nh\1\x85Reh\1" + b"\x86")


@case
def a_program() -> bytes:
    return beside(b"cposix\nsystem\n(" + text("touch CANARY") + b"tR")


@case
def a_program_in_an_old_file() -> bytes:
    return MAGIC + b"\x80\x02cposix\nsystem\n(" + text("touch CANARY") + b"tR."


@case
def an_old_file_of_keys() -> bytes:
    machine = pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    return MAGIC + machine + b"\x80\x02}((K\1K\2t" + b"q\x01h\x01\x86" * 60 + b"K\1u." + pickle.dumps(["0"], 2)


@case
def a_zip_bomb() -> bytes:
    return packed(tensor() + text("b") + text("x" * 30_000_000), zipfile.ZIP_DEFLATED)


@case
def many_entries() -> bytes:
    directory = (b"PK\x01\x02" + bytes(42)) * 120_000
    return (
        packed(tensor())[:50]
        + directory
        + b"PK\x05\x06"
        + struct.pack("<4H2IH", 0, 0, 65_535, 65_535, len(directory), 50, 0)
    )


@case
def an_entry_twice() -> bytes:
    return packed(tensor(), **{"net/data/1": b"abcd"}).replace(b"net/data/1", b"net/data/0")


@case
def an_absolute_entry() -> bytes:
    return packed(tensor(), **{"/etc/passwd": b"x"})


@case
def an_entry_above() -> bytes:
    return packed(tensor(), **{"net/../../x": b"x"})


@case
def entries_that_share_bytes() -> bytes:
    content = packed(tensor(), **{f"net/data/{n}": b"x" * 1000 for n in range(1, 30)})
    first = content.index(b"net/data/1") - 30
    where = content.index(b"PK\x01\x02")
    record = content.index(b"net/data/2", where) - 46
    content = bytearray(content)
    content[record + 42 : record + 46] = struct.pack("<I", first)
    content[record + 20 : record + 28] = struct.pack("<II", 40_000, 40_000)
    return bytes(content)


def safetensors(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + body


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@case
def safetensors_over_each_other() -> bytes:
    names = {f"t{n}": entry([1000], 0, 4000) for n in range(20_000)}
    return safetensors(json.dumps(names).encode(), bytes(4000))


@case
def safetensors_beyond_the_file() -> bytes:
    return safetensors(json.dumps({"a": entry([2**40], 0, 2**42)}).encode())


@case
def safetensors_before_the_file() -> bytes:
    return safetensors(json.dumps({"a": entry([2], -8, 0)}).encode(), bytes(8))


@case
def safetensors_with_a_huge_header() -> bytes:
    return struct.pack("<Q", 10**9) + b'{"a"' + bytes(100)


@case
def safetensors_with_two_million_names() -> bytes:
    return safetensors(b'{"a":{}' + b',"b":{}' * 2_000_000 + b"}")


@case
def safetensors_of_lists() -> bytes:
    return safetensors(b'{"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}")


@case
def safetensors_with_bytes_of_no_tensor() -> bytes:
    return safetensors(json.dumps({"a": entry([1], 0, 4)}).encode(), bytes(4000))


@case
def safetensors_with_a_name_twice() -> bytes:
    one = json.dumps({"a": entry([1], 0, 4)}).encode()
    return safetensors(one[:-1] + b"," + one[1:], bytes(4))


def npz(**arrays: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, held in arrays.items():
            archive.writestr(f"{name}.npy", held)
    return out.getvalue()


def npy(shape: str, held: bytes = b"", descr: str = "'<f4'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + held


@case
def npz_bomb() -> bytes:
    return npz(a=npy("(20000000,)", bytes(80_000_000)))


@case
def npz_of_two_to_the_45() -> bytes:
    return npz(a=npy("(35184372088832,)"))


@case
def npz_of_objects() -> bytes:
    out = io.BytesIO()
    np.savez(out, a=np.array([{}, None], dtype=object))
    return out.getvalue()


@case
def npz_with_an_expression() -> bytes:
    return npz(a=npy("__import__('os').system('touch CANARY')"))


@case
def npz_with_a_deep_header() -> bytes:
    return npz(a=npy("(" * 9000 + ")" * 9000))


def hdf5(fill: Callable[[h5py.File], object]) -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        fill(file)
    return out.getvalue()


@case
def hdf5_of_two_to_the_45() -> bytes:
    return hdf5(lambda file: file.create_dataset("a", (2**45,), "f4", chunks=(1024,), compression="gzip"))


@case
def hdf5_bomb() -> bytes:
    zeros = np.zeros((2, 16 << 20), np.float32)
    return hdf5(lambda file: file.create_dataset("a", data=zeros, chunks=(1, 16 << 20), compression="gzip"))


@case
def hdf5_chunk_that_unpacks_to_more() -> bytes:
    bomb = zlib.compress(bytes(100_000_000))

    def fill(file: h5py.File) -> None:
        data = file.create_dataset("a", (1024,), "f4", chunks=(1024,), compression="gzip")
        data.id.write_direct_chunk((0,), bomb)

    return hdf5(fill)


@case
def hdf5_huge_chunk() -> bytes:
    return hdf5(lambda file: file.create_dataset("a", (4,), "f4", maxshape=(None,), chunks=(2**29,)))


@case
def hdf5_virtual() -> bytes:
    layout = h5py.VirtualLayout((8,), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "a", (8,))
    return hdf5(lambda file: file.create_virtual_dataset("a", layout))


@case
def hdf5_external_file() -> bytes:
    return hdf5(lambda file: file.create_dataset("a", (8,), "u1", external=[("/etc/passwd", 0, 8)]))


@case
def hdf5_external_link() -> bytes:
    def fill(file: h5py.File) -> None:
        file["a"] = h5py.ExternalLink("/etc/passwd", "/x")
        file["b"] = h5py.SoftLink("/b")
        file.create_group("c")["again"] = file["/"]

    return hdf5(fill)


@case
def hdf5_of_deep_groups() -> bytes:
    def fill(file: h5py.File) -> None:
        group = file
        for _ in range(1000):
            group = group.create_group("g")
        file["a"] = np.ones(3, np.float32)

    return hdf5(fill)


def write_all(folder: Path) -> list[Path]:
    """Writes every case into a folder, as NAME.file."""
    for name, make in CASES.items():
        (folder / f"{name}.file").write_bytes(make())
    return sorted(folder.glob("*.file"))
