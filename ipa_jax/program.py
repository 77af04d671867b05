"""The program: lists every command of the project, and runs it by name.

    python -m ipa_jax COMMAND --help

The console script `ipa-jax` is the same.
"""

import importlib
import platform
import sys
from typing import NamedTuple

from third_party_ports.cli import command

TITLE = "ipa_jax: neural image popularity assessment. Every command of the project, by name."


class Command(NamedTuple):
    """A row of COMMANDS: the module whose `main(argv)` does the work, and what it does, in one line."""

    module: str
    text: str


COMMANDS = {
    "rank": Command("ipa_jax.rank", "your own photos in order, with reasons and a track record"),
    "serve": Command("ipa_jax.serve", "the same on a local page: drop photos, compare them, mark your picks"),
    "demo": Command("ipa_jax.experiments.demo", "the whole job on a drawn world, from photos to a report"),
    "fetch": Command("third_party_ports.fetch", "download and convert the networks' published weights"),
    "fetch-images": Command("data_builders.fetch_images", "download the photos that a list of posts has addresses for"),
    "extract": Command("data_builders.extract", "photos to features: poses, backgrounds, captions, depth"),
    "build": Command("data_builders.build", "posts and features to a data set of groups and pairs"),
    "inspect": Command("data_builders.inspect", "look at a data set: its groups, pairs and retrieved posts"),
    "train": Command("ipa_jax.main", "train, evaluate and export one model"),
    "evaluate": Command("ipa_jax.evaluate", "metrics and scores of an exported model"),
    "average": Command("ipa_jax.average", "one export from several: the mean of their parameters"),
    "report": Command("ipa_jax.report.__main__", "one page about one or more runs"),
    "baselines": Command("ipa_jax.baselines.__main__", "what needs no training: chance, neighbours, metadata"),
    "zero-shot": Command("ipa_jax.peers.zero_shot", "a peer's published weights on your data set"),
    "checklist": Command("ipa_jax.leakage.__main__", "look for leaks in a data set and a run"),
    "near-duplicates": Command("ipa_jax.leakage.near_duplicates", "test photos that lie close to a train photo"),
    "human-study": Command("ipa_jax.human_study.__main__", "ask people the same question, on a local page"),
    "tables": Command("ipa_jax.experiments.tables", "Tables 1 and 2 of the paper, every row"),
    "protocols": Command("ipa_jax.experiments.protocols", "four protocols side by side, and what leaks are worth"),
    "choices": Command("ipa_jax.experiments.choices", "what the paper leaves open, one field at a time"),
    "demo-world": Command("data_builders.demo_world.__main__", "draw a world of posts with a known answer"),
    "planted-build": Command("ipa_jax.leakage.planted_build", "build a data set with a leak planted in it"),
    "convert": Command("third_party_ports.convert", "a published checkpoint to safetensors"),
    "verify": Command("third_party_ports.verify", "a ported network against the original's own answers"),
}


PLATFORMS = {("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")}  # where all dependencies have wheels


def usage() -> str:
    """The help text: a line for each command."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.text}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: ipa-jax COMMAND [...]", "", TITLE, "", *lines, "",
                      "ipa-jax COMMAND --help tells more."])  # fmt: skip


@command()
def main(argv: list[str] | None = None) -> int:
    """Runs a command; returns its exit status: 0 done, 1 failed, 2 wrong use."""
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help", "help"):
        print(usage())
        return 0
    if name not in COMMANDS:
        print(f"error: no command {name!r}; the commands are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    if (here := (platform.system(), platform.machine())) not in PLATFORMS:
        supported = "Linux on x86-64 or arm64, or macOS on Apple silicon"
        print(f"error: ipa_jax runs on {supported}, not on {' '.join(here)}: use such a machine", file=sys.stderr)
        return 1
    return importlib.import_module(COMMANDS[name].module).main(arguments) or 0
