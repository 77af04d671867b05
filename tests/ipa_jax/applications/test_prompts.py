"""Prompts are found where programs put them, and nothing in such a file does harm."""

import json

import pytest
from PIL import Image, PngImagePlugin

from ipa_jax.applications import prompts
from ipa_jax.applications.prompts import COMFYUI, SIDECAR, WEB_UI, prompt_of

WORDS = "a cat, (on a mat:1.2), <lora:x:0.5>"
PARAMETERS = f"{WORDS}\nwatercolour\nNegative prompt: dog\nSteps: 20, Sampler: Euler, Seed: 1, Size: 8x8, Model: x"


def png(path, **texts):
    """A PNG with these texts; those that are no latin-1 become iTXt."""
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    return path


def graph(**inputs):
    nodes = {"3": {"class_type": "KSampler", "inputs": {"positive": ["6", 0], "negative": ["7", 0], "seed": 5}}}
    nodes |= {"6": {"class_type": "CLIPTextEncode", "inputs": {"text": WORDS, "clip": ["4", 1]}}}
    nodes |= {"7": {"class_type": "CLIPTextEncode", "inputs": {"text": "dog", "clip": ["4", 1]}}}
    return json.dumps(nodes | inputs)


def node(**inputs):
    return {"class_type": "Any", "inputs": inputs}


def test_a_text_file_comes_first_then_parameters_then_the_graph(tmp_path):
    photo = png(tmp_path / "a.png", parameters=PARAMETERS, prompt=graph())
    assert prompt_of(photo) == (prompts.Prompt(f"{WORDS} watercolour", WEB_UI), "")
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf one \r\n two\r\n")
    assert prompt_of(photo) == (prompts.Prompt("one two", SIDECAR), "")
    (tmp_path / "a.txt").write_text(PARAMETERS)
    assert prompt_of(photo)[0].text == f"{WORDS} watercolour"
    (tmp_path / "a.txt").write_bytes("größer".encode("utf-16"))
    assert prompt_of(photo)[0].text == "größer"
    (tmp_path / "a.txt").write_text(" \n")
    assert prompt_of(photo)[0].source == WEB_UI
    assert prompt_of(png(tmp_path / "b.png", prompt=graph())) == (prompts.Prompt(WORDS, COMFYUI), "")
    assert prompt_of(png(tmp_path / "c.png", parameters="猫\nSteps: 1"))[0].text == "猫"
    assert prompt_of(png(tmp_path / "d.png", Comment="x")) == (prompts.Prompt(), "")
    Image.new("RGB", (8, 8)).save(tmp_path / "e.jpg", comment=b"parameters")
    assert prompt_of(tmp_path / "e.jpg") == (prompts.Prompt(), "")


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ({"6": node(conditioning=["8", 0], guidance=3.5), "8": node(text=["9", 0]), "9": node(value=WORDS)}, WORDS),
        ({"6": node(text_g=WORDS, text_l="x", width=8)}, WORDS),
        ({"5": node(positive=["6", 0], negative=["7", 0])}, WORDS),  # a control net in between
        ({"5": node(positive=["7", 0], negative=["6", 0])}, ""),  # two samplers disagree
        ({"6": node(text=["6", 0])}, ""),  # a circle
        ({"6": node(text=["nowhere", 0])}, ""),
        ({"6": node(text=[["x"], 0])}, ""),
        ({"6": node(text={"a": 1})}, ""),
        ({"6": "no node"}, ""),
        ({"3": node(seed=1)}, ""),
    ],
)
def test_graphs(nodes, words, tmp_path):
    assert prompt_of(png(tmp_path / "a.png", prompt=graph(**nodes)))[0].text == words


@pytest.mark.parametrize("text", ["", "no json", "[]", "3", '{"a": 1}', "[" * 100_000, '{"3": {"inputs": []}}'])
def test_what_is_no_graph_is_no_prompt(text, tmp_path):
    assert prompt_of(png(tmp_path / "a.png", prompt=text))[0] == prompts.Prompt()


def test_sizes_are_bounded_and_odd_letters_are_not_shown(tmp_path, monkeypatch):
    photo = png(tmp_path / "a.png", parameters="a\u202eb\x1b[31m" + "c" * 5000)
    text = prompt_of(photo)[0].text
    assert text.startswith("a b [31mccc") and len(text) == prompts.LONGEST
    monkeypatch.setattr(prompts, "LARGEST", 1000)
    (tmp_path / "a.txt").write_text("x" * 1001)
    assert prompt_of(photo) == (prompts.Prompt(), "a.txt: larger than 0 MB, which no prompt is")
