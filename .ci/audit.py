"""Lists what the project is made of, under which licences, and which weaknesses are known: `make audit`.

Writes into the folder --out: sbom.cdx.json (CycloneDX, of the installed environment and the ported code), licences.md
(a table of each), audit.json (pip-audit's answer, if it could ask) and summary.md, which is also printed.
"""

import argparse
import collections
import datetime
import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATABASE = "https://api.osv.dev/v1/query"
NO_NETWORK = "not checked: no network"
NONE = "none stated"
CLASSIFIER = "License :: OSI Approved :: "
SHORT = {  # words of packages that do not use SPDX's names
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Zope Public License": "ZPL",
    "Python Software Foundation License": "PSF-2.0",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", type=Path, required=True, help="the folder with cyclonedx-py and pip-audit")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    sbom = software(given.tools, given.out)
    own = ports((ROOT / "NOTICE").read_text())
    sbom["components"] += [component(name, text) for name, text in own.items()]
    (given.out / "sbom.cdx.json").write_text(json.dumps(sbom, indent=1) + "\n")
    packages = {f"{part['name']} {part['version']}": licence(part) for part in sbom["components"] if "purl" in part}
    (given.out / "licences.md").write_text(table("Package", packages) + "\n" + table("Ported code", own))
    text = summary(packages, own, weaknesses(given.tools, given.out))
    (given.out / "summary.md").write_text(text)
    print(text, end="")
    return 0


def software(tools: Path, out: Path) -> dict:
    """The installed packages, as CycloneDX has them."""
    file = out / "sbom.cdx.json"
    command = [tools / "cyclonedx-py", "environment", sys.executable, "--pyproject", ROOT / "pyproject.toml"]
    subprocess.run([*command, "--output-reproducible", "--of", "JSON", "-o", file], check=True)
    return json.loads(file.read_text())


def ports(notice: str) -> dict[str, str]:
    """What NOTICE says about each part of the ported code: derived from what, and the weights' licence."""
    section = re.split(r"\n-{3,}\n", notice)[1].rsplit("\n\n", 1)[0]
    found = {}
    for paragraph in re.split(r"\n\n(?=\S)", section.strip()):
        title, _, rest = paragraph.partition("\n")
        if ": " in title and rest.startswith("  "):
            found[title] = " ".join(rest.split())
    return found


def component(name: str, text: str) -> dict:
    """A part of the ported code as a CycloneDX component."""
    return {"type": "library", "bom-ref": f"port:{name}", "name": name.split(":")[0], "copyright": text}


def licence(part: dict) -> str:
    """A package's licence by SPDX's name, or in its own words; "none stated"."""
    words = []
    for entry in part.get("licenses", []):
        held = entry.get("license", {})
        word = entry.get("expression") or held.get("id") or held.get("name", "")
        word = word.removeprefix(CLASSIFIER)
        word = SHORT.get(word, word)
        if "\n" not in word and len(word) < 80:
            words.append(word)
    return " / ".join(dict.fromkeys(words)) or ("in its own words" if part.get("licenses") else NONE)


def weaknesses(tools: Path, out: Path) -> str:
    """What pip-audit finds for the two locks, in words."""
    query = json.dumps({"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "26.3"}).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(DATABASE, query), timeout=10) as answer:
            json.load(answer)
    except (OSError, ValueError):
        return NO_NETWORK
    words = []
    for lock in ("requirements.txt", "requirements-dev.txt"):
        file = out / f"audit-{lock.removesuffix('.txt')}.json"
        command = [tools / "pip-audit", "--requirement", ROOT / lock, "--require-hashes", "--disable-pip"]
        done = subprocess.run([*command, "--vulnerability-service", "osv", "--format", "json", "--output", file])
        if done.returncode not in (0, 1) or not file.exists():
            return f"not checked: pip-audit failed on {lock}"
        known = [part["name"] for part in json.loads(file.read_text())["dependencies"] if part.get("vulns")]
        words.append(f"{lock}: {', '.join(known) or 'nothing known'}")
    return "; ".join(words)


def table(head: str, rows: dict[str, str]) -> str:
    lines = [f"| {name} | {text} |" for name, text in sorted(rows.items(), key=lambda row: row[0].lower())]
    return "\n".join([f"| {head} | Licence |", "| --- | --- |", *lines, ""])


def summary(packages: dict[str, str], own: dict[str, str], known: str) -> str:
    """The dated figures, as docs/reliability.md shows them."""
    counts = collections.Counter(packages.values())
    common = [f"{name} {count}" for name, count in counts.most_common() if count > 2 and name != NONE]
    silent = [name for name, text in packages.items() if text == NONE]
    others = len(counts) - len(common) - bool(silent)
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    day = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch else datetime.datetime.now(datetime.UTC)
    rows = {
        "Date": f"{day:%d %B %Y}".lstrip("0"),
        "Packages installed": str(len(packages)),
        "Their licences": f"{', '.join(common)}; {others} others, of one or two packages",
        "Without a licence in their metadata": ", ".join(silent) or "none",
        "Parts of ported code, from NOTICE": str(len(own)),
        "Known weaknesses (pip-audit, OSV)": known,
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {text} |" for name, text in rows.items()), ""])


if __name__ == "__main__":
    sys.exit(main())
