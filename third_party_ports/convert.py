"""A published checkpoint -> the .safetensors file that our commands load.

    python -m ipa_jax convert NAME CHECKPOINT --out FILE.safetensors
    python -m ipa_jax convert m2_vocab vocab.pkl --out vocab.json

Every tensor is accounted for: what is missing, unknown or misshapen is an error that lists names and says what the
file looks like instead. The output holds float32 tensors under the network's canonical names (`weights.KeyMap`), in the
published file's axis order, and in its metadata the source's name and sha256, the licence and the version of the ports.
"""

import sys
from pathlib import Path

from third_party_ports.checkpoints import zoo
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.cli import DONE, Parser, fail
from third_party_ports.conversion import convert_row, convert_vocabulary


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = Parser(
        "convert",
        __doc__,
        epilog="names and their published files:\n"
        + "\n".join(f"  {row.name:<23} {row.file}" for row in zoo.CHECKPOINTS.values()),
    )
    parser.add_argument("name", metavar="NAME", choices=zoo.CHECKPOINTS, help="one of the names below")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="a .pth, .safetensors, .npz or HDF5 file")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the file to write")
    given = parser.parse_args(argv)
    row = zoo.checkpoint(given.name)
    kind = ".safetensors" if row.module else ".json"
    if given.out.suffix != kind:
        parser.error(f"--out {given.out}: {row.name} becomes a {kind} file")
    try:
        if given.out.exists() and given.checkpoint.exists() and given.out.samefile(given.checkpoint):
            parser.error(f"--out {given.out}: this is the checkpoint itself")
        if row.module is None:
            print(f"{row.name}: {convert_vocabulary(given.checkpoint, given.out):,} words -> {given.out}")
            return DONE
        done = convert_row(row, given.checkpoint, given.out)
    except WeightsError as error:
        return fail(error)
    except OSError as error:
        of = "" if error.filename is None else f" {error.filename}:"
        return fail(
            f"{given.checkpoint} -> {given.out}:{of} {error.strerror or error}. Give a file that can be read and an "
            "--out that can be written."
        )
    for remark in done.remarks:
        print(f"{row.name}: note: {remark}", file=sys.stderr)
    print(
        f"{row.name}: {done.tensors} tensors, {done.numbers:,} numbers, {done.ignored} not needed, {done.layout} layout"
        f", sha256 {done.sha256[:12]}... -> {given.out}"
    )
    return DONE


if __name__ == "__main__":
    sys.exit(main())
