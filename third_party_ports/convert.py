"""Converts a published checkpoint to the .safetensors file that the other commands load.

    ipa-jax convert NAME CHECKPOINT --out FILE.safetensors
    ipa-jax convert m2_vocab vocab.pkl --out m2_vocab.json

Every tensor is accounted for. If tensors are missing, unknown or misshapen, the command lists them and says what the
file looks like instead. The output's metadata names the source file, its sha256, the licence and the ports' version.
"""

import sys
from pathlib import Path

from third_party_ports.checkpoints import zoo
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.cli import DONE, Parser, command, fail


@command()
def main(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    lines = [f"  {row.name:<23} {row.file}" for row in zoo.CHECKPOINTS.values()]
    parser = Parser("convert", __doc__, epilog="\n".join(["names and their published files:", *lines]))
    parser.add_argument("name", metavar="NAME", choices=zoo.CHECKPOINTS, help="a name of the list below")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="a .pth, .safetensors, .npz or HDF5 file")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the file to write")
    given = parser.parse_args(argv)
    row = zoo.checkpoint(given.name)
    kind = Path(row.converted).suffix
    if given.out.suffix != kind:
        parser.error(f"--out {given.out}: {row.name} becomes a {kind} file")

    from third_party_ports.checkpoints.conversion import write_row

    try:
        if given.out.exists() and given.checkpoint.exists() and given.out.samefile(given.checkpoint):
            parser.error(f"--out {given.out}: this is the checkpoint itself")
        written, remarks = write_row(row, given.checkpoint, given.out)
    except WeightsError as error:
        return fail(error)
    except OSError as error:
        of = "" if error.filename is None else f" {error.filename}:"
        return fail(
            f"{given.checkpoint} -> {given.out}:{of} {error.strerror or error}. Give a file that can be read and an "
            "--out that can be written."
        )
    for remark in remarks:
        print(f"{row.name}: note: {remark}", file=sys.stderr)
    print(f"{row.name}: {written}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
