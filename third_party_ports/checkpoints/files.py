"""Reads the tensors of a checkpoint file, in any format that networks are published in."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from third_party_ports.checkpoints import hdf5_files, npz_files, safetensors_files, torch_files
from third_party_ports.checkpoints.collected import AGAIN, Collected, RefusedError, Unreadable
from third_party_ports.checkpoints.weights import WeightsError, some
from third_party_ports.checkpoints.wrappers import unwrap

HDF5 = b"\x89HDF\r\n\x1a\n"
UNPACK = "Unpack it and give the file with the weights."
OTHERS = (  # first bytes of files that are often given in place of weights: what they are, and what to do
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the weights. Run `git lfs pull` or download the file.",
    ),
    (b"\x1f\x8b", f"a gzip archive. {UNPACK}"),
    (b"BZh", f"a bzip2 archive. {UNPACK}"),
    (b"\xfd7zXZ", f"an xz archive. {UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"a zstd archive. {UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"a 7z archive. {UNPACK}"),
    (b"Rar!", f"a rar archive. {UNPACK}"),
    (b"GGUF", "a GGUF file, whose weights are quantised. Give the original checkpoint."),
    (b"\x89PNG", "a picture, not weights. Give the file with the network's weights."),
    (b"\xff\xd8\xff", "a picture, not weights. Give the file with the network's weights."),
    (b"%PDF", "a PDF, not weights. Give the file with the network's weights."),
)
HEAD = 512  # bytes that tell the format


class WeightsFile(NamedTuple):
    """A network's tensors in a file.

    Attributes:
      tensors: by name, with the file's dtypes. Dots join nested names.
      remarks: what you should know about the choice among the file's tensors, a sentence each.
    """

    tensors: dict[str, np.ndarray]
    remarks: list[str]


def read(path: str | Path, wrappers: Sequence[str] = ()) -> WeightsFile:
    """Reads a PyTorch, .safetensors, .npz or HDF5 file. The content decides the format, not the file's name.

    Args:
      path: the file. It is not trusted: nothing in it is run, and it cannot ask for much more memory than its size.
      wrappers: keys to look under (`KeyMap.wrappers`), the preferred one first, also inside each other. If the file
        holds tensors under one of them, only those are returned.

    Raises:
      WeightsError: the file is missing, damaged, in no known format, or holds a tensor that cannot be read. The message
        names the file, and the tensor if there is one.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: this checkpoint file does not exist. Check the path.")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        found, chosen = _read(path, head), {}
        names, remarks = unwrap(found.tensors, wrappers)
        for name, full in names.items():
            tensor = found.tensors[full]
            if isinstance(tensor, Unreadable):
                raise RefusedError(f"its tensor {full} {tensor.reason}")
            chosen[name] = tensor
    except RefusedError as error:
        raise WeightsError(f"{path}: {error}") from error
    except Exception as error:  # a damaged file can raise anything
        raise WeightsError(f"{path}: not a readable {_format(head)} ({_reason(error)}). {AGAIN}") from error
    if not chosen:
        raise WeightsError(f"{path}: the file holds no tensors. Give the file with the network's weights.")
    return WeightsFile(chosen, remarks)


def _reason(error: Exception) -> str:
    """What a library says of a damaged file, without its advice, or in our words where it is about its own insides."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, IndexError | KeyError | TypeError | AttributeError):
        return "its parts do not fit together"
    return " ".join(str(error).split()).partition(" To allow loading")[0][:300]


def _read(path: Path, head: bytes) -> Collected:
    if head.startswith(HDF5):
        return hdf5_files.read(path)
    if _is_safetensors(head):
        return safetensors_files.read(path)
    if head.startswith(torch_files.ZIP) and npz_files.is_npz(path):
        return npz_files.read(path)
    if foreign := _foreign(path, head):
        raise RefusedError(foreign)
    return torch_files.read(path)


def _is_safetensors(head: bytes) -> bool:
    """A length of eight bytes, whose last ones are zero, and the JSON of the header."""
    return head[8:9] == b"{" and head[4:8] == bytes(4)


def _format(head: bytes) -> str:
    if head.startswith(HDF5):
        return "HDF5 file"
    if _is_safetensors(head):
        return "safetensors file"
    return "PyTorch or .npz file" if head.startswith(torch_files.ZIP) else "PyTorch file"


def _foreign(path: Path, head: bytes) -> str:
    """Says what a file is that people give in place of weights; "" if it may be weights."""
    if not head:
        return f"not a readable checkpoint: it is empty. {AGAIN}"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        return "this is a web page, not weights. Open it in a browser and download the file."
    if text.startswith(b"{") and text[1:2] in b' \r\n\t"}':
        return _json(path)
    if head[257:262] == b"ustar":
        return f"a tar archive, or a checkpoint from before PyTorch 0.2. {UNPACK}"
    return next((f"this is {what}" for begin, what in OTHERS if head.startswith(begin)), "")


def _json(path: Path) -> str:
    """Says what a text in JSON is: an index of shards, or something else."""
    shards: list[str] = []
    if path.stat().st_size < 16 << 20:
        try:
            content = json.loads(path.read_bytes())
            shards = sorted({str(name) for name in content.get("weight_map", {}).values()})
        except (ValueError, AttributeError, RecursionError):
            pass
    if shards:
        return f"this is an index of weights in {len(shards)} files: {some(shards)}. Give one file with all weights."
    return "this is text in JSON, not weights. Give the file with the network's weights."
