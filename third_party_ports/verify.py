"""Compares the ports with the original networks' own answers, stored in golden fixtures of any seed and size.

    ipa-jax verify FIXTURE_DIR... [--json | --markdown | --readme FILE]

Prints a row per array: error, kind, limit, pass. A FIXTURE_DIR may also be a folder of fixtures. Times go to stderr.
The exit status is 1 if an array misses its limit, or if a fixture cannot be run, lacks an array of its format, or holds
an array that was not compared. The other fixtures still run.

--json prints one list of {"fixture", "array", "error", "kind", "limit", "passed", "problem"}. An infinite or NaN error
(for example of another shape) is null, because JSON has no such number; "passed" is then false. A fixture that cannot
be run, or is not complete, adds an object whose "problem" says why; "problem" is null in all others.
"""

import sys
import time
from pathlib import Path

import orjson

from third_party_ports.cli import DONE, FAILED, Parser, command


@command()
def main(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    parser = Parser("verify", __doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FIXTURE_DIR", help="a folder with manifest.json")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print a list of objects on stdout, and nothing else")
    form.add_argument("--markdown", action="store_true", help="print a Markdown table")
    form.add_argument("--readme", type=Path, metavar="FILE", help="write the table into FILE, between its parity marks")
    given = parser.parse_args(argv)

    from third_party_ports.files import write_text
    from third_party_ports.parity import check, table

    if given.readme:
        try:
            readme = given.readme.read_text()
            table.with_table(readme, [])
        except (OSError, ValueError) as error:
            parser.error(f"--readme {given.readme}: {error}")
    rows: list[check.Row] = []
    for folder in (fixture for each in given.folders for fixture in check.fixtures(each)):
        start = time.monotonic()
        found = check.verify(folder)
        rows += found
        print(f"{folder}: {len(found)} rows in {time.monotonic() - start:.1f} s", file=sys.stderr)
        if not (given.json or given.markdown or given.readme):
            print("\n".join(table.text_lines(found)), flush=True)
    failed = [row for row in rows if not row.passed]
    if given.json:
        print(orjson.dumps(table.json_objects(rows), option=orjson.OPT_INDENT_2).decode())
    elif given.markdown:
        print("\n".join(table.markdown_lines(rows)))
    elif given.readme and not failed:
        write_text(given.readme, table.with_table(readme, table.markdown_lines(rows)))
    elif given.readme:
        print("\n".join([*table.text_lines(failed), f"{given.readme} was not changed."]))
    print(f"{len(rows)} rows, {len(failed)} fail", file=sys.stderr)
    return FAILED if failed else DONE


if __name__ == "__main__":
    sys.exit(main())
