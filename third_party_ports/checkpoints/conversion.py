"""Converts a published checkpoint into the .safetensors file that the project loads.

Every tensor is accounted for. A missing, unknown or misshapen tensor is an error that lists the names and says what the
file looks like instead. The output holds float32 tensors under the network's canonical names (`weights.KeyMap`), in the
axis order of the published file. Its metadata names the source file, its sha256, the licence and the ports' version;
its seal (third_party_ports.seals) shows damage.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from third_party_ports import __version__
from third_party_ports.checkpoints import files, identify, sealed, wrappers, zoo
from third_party_ports.checkpoints.checkpoint import Checkpoint, attribute
from third_party_ports.checkpoints.weights import KeyMap, WeightsError, from_state_dict, some
from third_party_ports.files import sha256 as sha256_of

Tensors = Mapping[str, np.ndarray]


class Converted(NamedTuple):
    """What a conversion wrote.

    Attributes:
      tensors, numbers: how many the output holds.
      ignored: tensors of the source that the network does not need.
      sha256: of the source.
      layout: how the source names its tensors: "official", "timm" or "transformers".
      remarks: what you should know about the result, a sentence each.
    """

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
    """Writes `out`, whole or not at all, from a file of any format that `files.read` knows.

    Args:
      checkpoint: the published file.
      out: the .safetensors file to write. Its folder is created.
      keys: the network's KeyMap.
      shapes: the network's variables as shapes (`jax.eval_shape` of its init).
      source: more metadata for the output.
      layouts: maps tensors to tensors by official name, and names the layout they came in.
      checks: each takes the tensors by official name and returns a remark or None, or raises WeightsError.
      sha256: of `checkpoint`, if you know it already.

    Raises:
      WeightsError: names the file and the tensors that do not fit.
      OSError: `out` cannot be written.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    tensors, remarks = files.read(checkpoint, (*keys.wrappers, *wrappers.KEYS))
    try:
        official, layout = (tensors, "official") if layouts is None else layouts(tensors)
        kept = _canonical(keys, official)
        from_state_dict(keys, official, shapes, resize=False)  # so that an error lists the file's own names
        remarks += [remark for check in checks if (remark := check(_without_module(official)))]
    except WeightsError as error:
        looks = identify.looks_like(tensors)
        raise WeightsError(f"{checkpoint}: {f'looks like {looks}; ' if looks else ''}{error}") from error
    digest = sha256 or file_sha256(checkpoint)
    metadata = {"source": checkpoint.name, "source_sha256": digest, "port_version": __version__, **(source or {})}
    out.parent.mkdir(parents=True, exist_ok=True)
    sealed.save(kept, out, metadata)
    numbers = sum(tensor.size for tensor in kept.values())
    return Converted(len(kept), numbers, len(official) - len(kept), digest, layout, remarks)


def convert_row(row: Checkpoint, checkpoint: str | Path, out: str | Path) -> Converted:
    """Converts the file of one of the zoo's rows and runs the row's checks.

    Raises:
      WeightsError: as `convert`; also for a file that is another row's, by its name or its sha256.
      OSError: `out` cannot be written.
    """
    checkpoint = Path(checkpoint)
    digest = file_sha256(checkpoint)
    for other in zoo.CHECKPOINTS.values():
        same = other.sha256 is not None and digest.startswith(other.sha256)
        if other.name != row.name and (same or checkpoint.name == other.file):
            raise WeightsError(f"{checkpoint}: this is the file of {other.name}. Convert it under that name.")

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
        sha256=digest,
    )
    if row.sha256 and not digest.startswith(row.sha256):
        done.remarks.append(
            f"the file's sha256 is {digest}, but {row.sha256} was published: somebody republished the file, or it is "
            "damaged"
        )
    return done


def write_row(row: Checkpoint, checkpoint: Path, out: Path) -> tuple[str, list[str]]:
    """Converts a row's file, with tensors or without.

    Returns:
      What was written, in words for the screen, and the remarks.

    Raises:
      WeightsError, OSError: as `convert_row`.
    """
    if row.writer:
        return attribute(row.writer)(checkpoint, out), []
    done = convert_row(row, checkpoint, out)
    layout = "" if done.layout == "official" else f", {done.layout} layout"
    return (
        f"{done.tensors} tensors, {done.numbers:,} numbers, {done.ignored} not needed{layout}, "
        f"sha256 {done.sha256[:12]}... -> {out}",
        done.remarks,
    )


def file_sha256(path: Path) -> str:
    """The sha256 of a file, as hexadecimal digits. Raises WeightsError if the file does not exist."""
    if not path.is_file():
        raise WeightsError(f"{path}: this checkpoint file does not exist. Check the path.")
    return sha256_of(path)


def _without_module(tensors: Tensors) -> dict[str, np.ndarray]:
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _canonical(keys: KeyMap, tensors: Tensors) -> dict[str, np.ndarray]:
    """The tensors that the network needs, by canonical name: float32 and contiguous, as safetensors wants them."""
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
        raise WeightsError(f"two tensors have the same canonical name: {some(twice)}. Give a file with one network.")
    if broken:
        raise WeightsError(f"NaN or infinite values in {some(broken)}. Download the file again.")
    return kept
