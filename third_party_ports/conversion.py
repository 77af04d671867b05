"""Conversion: a published checkpoint, checked against its network, to safetensors."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from third_party_ports import __version__
from third_party_ports.checkpoints import zoo
from third_party_ports.checkpoints.checkpoint import Checkpoint, attribute
from third_party_ports.checkpoints.weights import KeyMap, WeightsError, from_state_dict, some

Tensors = Mapping[str, np.ndarray]
WRAPPERS = ("state_dict", "model")  # those that people put around any network's tensors


class Converted(NamedTuple):
    """What was written: tensors and their numbers, tensors that were left out, the source's sha256, remarks."""

    tensors: int
    numbers: int
    ignored: int
    sha256: str
    layout: str
    remarks: list[str]


def convert(
    checkpoint: str | Path,
    out: str | Path,
    keys: KeyMap,
    shapes: Mapping[str, Any],
    *,
    source: Mapping[str, str] | None = None,
    layouts: Callable[[Tensors], tuple[dict[str, np.ndarray], str]] | None = None,
    checks: Sequence[Callable[[Tensors], str | None]] = (),
    sha256: str | None = None,
) -> Converted:
    """Writes `out` from a file of any format of `checkpoint_files`, whole or not at all.

    Args:
      shapes: the network's variables as shapes, `jax.eval_shape` of its init.
      source: more metadata.
      layouts: tensors -> tensors by official name, and the layout they came in.
      checks: given the tensors by official name, return a remark or None, or raise WeightsError.
      sha256: of `checkpoint`, where it is known already.

    Raises WeightsError that names the file and the tensors that do not fit, OSError if `out` cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    from third_party_ports.checkpoints import files, identify

    checkpoint, out = Path(checkpoint), Path(out)
    tensors = files.read(checkpoint, (*keys.wrappers, *WRAPPERS))
    try:
        official, layout = (tensors, "official") if layouts is None else layouts(tensors)
        kept = _canonical(keys, official)
        from_state_dict(keys, official, shapes, resize=False)  # by the names in the file, for the message
        remarks = [remark for check in checks if (remark := check(_without_module(official)))]
    except WeightsError as error:
        looks = identify.looks_like(tensors)
        raise WeightsError(f"{checkpoint}: {f'looks like {looks}; ' if looks else ''}{error}") from error
    sha256 = sha256 or file_sha256(checkpoint)
    metadata = {"source": checkpoint.name, "source_sha256": sha256, "port_version": __version__, **(source or {})}
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    try:
        part.touch()
        mode = part.stat().st_mode
        save_file(kept, part, metadata)
        part.chmod(mode)  # save_file gives all rights to the owner alone
        part.replace(out)
    except SafetensorError as error:  # a full disk
        raise OSError(str(error)) from error
    finally:
        part.unlink(missing_ok=True)
    numbers = sum(tensor.size for tensor in kept.values())
    return Converted(len(kept), numbers, len(official) - len(kept), sha256, layout, remarks)


def convert_row(row: Checkpoint, checkpoint: str | Path, out: str | Path) -> Converted:
    """`convert` for one of the zoo's rows, with its checks; the file of another row is refused by name and hash."""
    from third_party_ports.checkpoints import identify

    checkpoint = Path(checkpoint)
    sha256 = file_sha256(checkpoint)
    for other in zoo.CHECKPOINTS.values():
        same = other.sha256 is not None and sha256.startswith(other.sha256)
        if other.name != row.name and (same or checkpoint.name == other.file):
            raise WeightsError(f"{checkpoint}: this is the file of {other.name}; convert it under that name.")

    def signature(tensors: Tensors) -> None:
        if problems := identify.conflicts(row, tensors):
            raise WeightsError(f"not the checkpoint of {row.name}: {'; '.join(problems)}.")

    done = convert(
        checkpoint,
        out,
        row.key_map(),
        row.shapes(),
        source={"port": row.name, "licence": row.licence, "page": row.page},
        layouts=attribute(row.layouts) if row.layouts else None,
        checks=[signature, *([attribute(row.check)] if row.check else [])],
        sha256=sha256,
    )
    if row.sha256 and not sha256.startswith(row.sha256):
        done.remarks.append(f"the sha256 is not the published {row.sha256}: republished, or damaged")
    return done


def convert_vocabulary(checkpoint: str | Path, out: str | Path) -> int:
    """vocab.pkl of M2 Transformer -> JSON; the number of words. Raises WeightsError."""
    from third_party_ports.m2_transformer.text import save_vocabulary
    from third_party_ports.m2_transformer.vocabulary import read_vocabulary

    words = read_vocabulary(checkpoint)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    save_vocabulary(words, out)
    return len(words)


def file_sha256(path: Path) -> str:
    """Raises WeightsError for a file that is not there."""
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such checkpoint file.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _without_module(tensors: Tensors) -> dict[str, np.ndarray]:
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _canonical(keys: KeyMap, tensors: Tensors) -> dict[str, np.ndarray]:
    """The tensors that the network needs, by canonical name, as safetensors wants them: whole in memory, float32."""
    kept: dict[str, np.ndarray] = {}
    twice, broken = [], []
    for name, tensor in tensors.items():
        canonical = keys.canonical(name)
        if canonical is None:
            continue
        if canonical in kept:
            twice.append(name)
        kept[canonical] = np.asarray(tensor, np.float32, order="C")
        if not np.isfinite(kept[canonical]).all():
            broken.append(name)
    if twice:
        raise WeightsError(f"two tensors for one place: {some(twice)} and those of the same name beside them.")
    if broken:
        raise WeightsError(f"values that are no numbers (NaN or infinite) in {some(broken)}.")
    return kept
