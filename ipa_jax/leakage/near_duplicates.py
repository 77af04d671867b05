"""Measures how near each test image is to one of train or the memory bank, by its pixels and to a backbone.

ipa-jax near-duplicates --export runs/full/export --data_dir DATA [--out FILE.json]

Pixels: how many of the 64 bits of the perceptual hash differ from the nearest image's. Backbone: the cosine of pooled
Swin features, centred on their mean over train, as uncentred ones are all alike. Bits and one cosine look at other
posts of the same account in train and the memory bank, and at all of train. The other cosine looks at the same account
only, as a backbone finds photos of one scene alike whoever took them. Test protocols without near-duplicates leave out
images within data.duplicates.max_bits or above eval.duplicate_cosine.
"""

import json
import sys
from pathlib import Path

from third_party_ports.cli import Parser, command, fail, new_file


@command()
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = Parser("near-duplicates", __doc__)
    parser.add_argument("--export", type=Path, required=True, help="the export/ folder of a run with a Swin")
    parser.add_argument("--data_dir", required=True, help="a data set that `ipa-jax build` wrote")
    parser.add_argument("--out", type=new_file, help="JSON file to write: bits and cosines by account and group")
    args = parser.parse_args(argv)

    from ipa_jax.leakage.nearest import as_lists, nearest
    from ipa_jax.training.export import load_export
    from third_party_ports.files import write_text

    try:
        _, config, _ = load_export(args.export)
        found = nearest(args.export, args.data_dir)
    except (ValueError, OSError) as error:
        return fail(error)
    if args.out:
        write_text(args.out, json.dumps(as_lists(found)))
    bits, cosine = config.data.duplicates.max_bits, config.eval.duplicate_cosine
    by_hash = int((found["bits"] <= bits).sum())
    own, anywhere = (int((found[name] > cosine).sum()) for name in ("cosine", "cosine_any"))
    print(
        f"of {len(found)} test images {by_hash} have a near-duplicate by hash (within {bits} bits); to the backbone "
        f"(cosine above {cosine:g}), {own} have one in their account and {anywhere} in their account or train"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
