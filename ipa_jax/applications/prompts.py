"""The prompt that a generated photo was made from: a text file beside it, or texts in the PNG itself.

These are files of strangers: they are read as data, up to a size, and what is odd counts as no prompt.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_builders import photos

LARGEST = 1 << 20  # bytes of a text file, characters of a text in a PNG; a graph of ComfyUI has some 100 kB
LONGEST = 2_000  # characters of a prompt that are kept
HOPS = 50  # links of a graph that are followed
SIDECAR, WEB_UI, COMFYUI = "text file", "PNG parameters", "ComfyUI graph"  # where a prompt was found
_TEXTS = ("text", "text_g", "text_l", "value", "string", "prompt")  # inputs of a node that hold words, or lead to them
_LINKS = ("positive", "conditioning", "conditioning_1", "conditioning_to", "conditioning_from", "guider")


@dataclass(frozen=True)
class Prompt:
    """What a photo was made from: the words, on one line, and where they were found. Both are "" if nothing says."""

    text: str = ""
    source: str = ""


def prompt_of(photo: Path) -> tuple[Prompt, str]:
    """Finds a photo's prompt: in the text file of its name, else in its PNG.

    Returns:
      The prompt, and what could not be read, in words; "" if all was well.
    """
    sidecar = photo.with_suffix(".txt")
    trouble = ""
    if sidecar.is_file():
        try:
            with sidecar.open("rb") as file:
                content = file.read(LARGEST + 1)
        except OSError as error:
            content, trouble = b"", f"{sidecar.name}: {error.strerror}"
        if len(content) > LARGEST:
            trouble = f"{sidecar.name}: larger than {LARGEST >> 20} MB, which no prompt is"
        elif text := _line(_positive(_decoded(content))):
            return Prompt(text, SIDECAR), trouble
    try:
        texts = photos.texts(photo)
    except (photos.PhotoError, OSError):
        return Prompt(), trouble  # it cannot be ranked either, which is said where photos are described
    return _in_png(texts), trouble


def _in_png(texts: Mapping[str, str]) -> Prompt:
    parameters, graph = texts.get("parameters", ""), texts.get("prompt", "")
    if len(parameters) <= LARGEST and (text := _line(_positive(parameters))):
        return Prompt(text, WEB_UI)
    if len(graph) <= LARGEST and (text := _line(_of_graph(graph))):
        return Prompt(text, COMFYUI)
    return Prompt()


def _positive(parameters: str) -> str:
    """The prompt of a text in the form of Stable Diffusion web UI: what comes before "Negative prompt:" or "Steps:"."""
    lines = []
    for line in parameters.splitlines():
        if line.startswith(("Negative prompt:", "Steps: ")):
            break
        lines.append(line)
    return "\n".join(lines)


def _of_graph(text: str) -> str:
    """The words that lead to a sampler's input `positive` in a graph of ComfyUI; "" if they cannot be told."""
    try:
        graph = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    nodes = graph if isinstance(graph, dict) else {}
    inputs = {str(name): node["inputs"] for name, node in nodes.items() if _has_inputs(node)}
    found = {words for node in inputs.values() if "positive" in node and (words := _words(inputs, node["positive"]))}
    return found.pop() if len(found) == 1 else ""


def _has_inputs(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("inputs"), dict)


def _words(inputs: Mapping[str, Mapping[str, Any]], value: Any) -> str:
    """Follows a link, [node, output], to the first node with words."""
    for _ in range(HOPS):
        if isinstance(value, str):
            return value
        if not (isinstance(value, list) and value and isinstance(value[0], str | int)):
            return ""
        node = inputs.get(str(value[0]), {})
        value = next((node[name] for name in (*_TEXTS, *_LINKS) if node.get(name)), None)
    return ""


def _decoded(content: bytes) -> str:
    """A text file as people write them: UTF-8, or UTF-16 with its mark; what is neither is read as far as it goes."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace")
    return content.decode("utf-8-sig", "replace")


def _line(text: str) -> str:
    """A text on one line, of printable characters."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(shown.split())[:LONGEST]
