"""The command fetch: direct links, files to download by hand, existing files, failures. The server is local."""

import hashlib
import socket
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.helpers.paths import ROOT
from third_party_ports import fetch
from third_party_ports.checkpoints import fetching, zoo

RNG = np.random.default_rng(0)


def scoring_net() -> dict[str, np.ndarray]:
    """dekr_rescore's tensors, by official name."""
    shapes = {"l1": (256, 74), "l2": (256, 256), "l3": (1, 256)}
    tensors = {f"{name}.weight": RNG.normal(size=shape) for name, shape in shapes.items()}
    tensors |= {f"{name}.bias": RNG.normal(size=shape[:1]) for name, shape in shapes.items()}
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


@pytest.fixture
def mirror(tmp_path):
    """Serves a folder; returns it and its address."""
    folder = tmp_path / "mirror"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as running:
        thread = Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def row(monkeypatch):
    """Leaves one row in the zoo, that of the smallest network."""
    row = zoo.CHECKPOINTS["dekr_rescore"]
    monkeypatch.setattr(zoo, "CHECKPOINTS", {row.name: row})
    return row


def test_download_and_conversion(row, mirror, tmp_path, capsys):
    folder, url = mirror
    save_file(scoring_net(), folder / row.file)
    digest = hashlib.sha256((folder / row.file).read_bytes()).hexdigest()
    to = tmp_path / "new" / "weights"
    assert fetch.main(["all", "--out", str(to), "--base_url", url]) == 0
    shown = capsys.readouterr().out
    assert f"{digest} (nobody published one: note it" in shown
    assert "1 ready: dekr_rescore" in shown
    assert sorted(file.name for file in to.iterdir()) == ["dekr_rescore.safetensors", row.file]
    with safe_open(to / "dekr_rescore.safetensors", "np") as file:
        assert file.metadata()["source_sha256"] == digest
    (folder / row.file).unlink()
    assert fetch.main([row.name, "--out", str(to), "--base_url", url]) == 0  # without a request
    assert "exists already" in capsys.readouterr().out


def test_by_hand(row, tmp_path, capsys):
    """Without a direct link, it prints page, file and command. A file in the folder is converted."""
    assert fetch.main([row.name, "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    command = f"ipa-jax convert dekr_rescore {tmp_path / row.file} --out {tmp_path / row.name}.safetensors"
    assert row.page in shown and command in shown
    assert "1 by hand: dekr_rescore" in shown
    save_file(scoring_net(), tmp_path / row.file)
    assert fetch.main([row.name, "--out", str(tmp_path)]) == 0
    assert "1 ready: dekr_rescore" in capsys.readouterr().out


def test_failures_do_not_stop_the_others(row, mirror, tmp_path, monkeypatch, capsys):
    folder, url = mirror
    rows = [
        replace(row, name="absent", file="absent.pth"),
        replace(row, name="damaged", file="damaged.pth", sha256="ab"),
    ]
    rows += [replace(row, name="other", file="other.pth"), row]
    monkeypatch.setattr(zoo, "CHECKPOINTS", {each.name: each for each in rows})
    save_file(scoring_net(), folder / "damaged.pth")
    save_file({"a": np.zeros(2)}, folder / "other.pth")
    save_file(scoring_net(), folder / row.file)
    assert fetch.main(["all", "--out", str(tmp_path / "to"), "--base_url", url]) == 1
    shown = capsys.readouterr().out
    assert "absent.pth: 404" in shown and "ab expected" in shown and "other.pth: not a checkpoint" in shown
    assert "1 ready: dekr_rescore\n3 failed: absent, damaged, other" in shown
    assert shown.count(row.page) == 3
    assert not (tmp_path / "to" / "damaged.pth").exists()


def test_a_folder_that_cannot_be_written(row, tmp_path, mirror, capsys):
    (tmp_path / "file").touch()
    assert fetch.main([row.name, "--out", str(tmp_path / "file"), "--base_url", mirror[1]]) == 1
    assert "--out" in capsys.readouterr().out


def without_network(monkeypatch) -> list[str]:
    """Only this machine's name has an address. Returns the other hosts that are looked up."""
    asked, known = [], socket.getaddrinfo

    def fails(host, *arguments, **named):
        if host == "127.0.0.1":
            return known(host, *arguments, **named)
        asked.append(host)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return asked


def test_without_network_only_one_file_is_tried(row, tmp_path, monkeypatch, capsys):
    """The others fail with the same reason. What needs no network is still done."""
    rows = [replace(row, name=name, file=f"{name}.pth", url=f"https://{name}.invalid/{name}.pth") for name in "abc"]
    monkeypatch.setattr(zoo, "CHECKPOINTS", {each.name: each for each in (*rows, row)})
    asked = without_network(monkeypatch)
    save_file(scoring_net(), tmp_path / "c.pth")
    assert fetch.main(["all", "--out", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert asked == ["a.invalid"] * 2
    assert shown.err.count("a.pth: retrying in 1 s (no connection to a.invalid: [Errno -3] Temp") == 1
    assert "b: not tried: a.pth: no connection to a.invalid: [Errno -3] Temp" in shown.out
    assert "1 ready: c\n1 by hand: dekr_rescore\n2 failed: a, b\n" in shown.out


def test_if_one_host_answers_every_file_is_tried(row, mirror, tmp_path, monkeypatch, capsys):
    folder, url = mirror
    save_file(scoring_net(), folder / "a.pth")
    rows = [replace(row, name=name, file=f"{name}.pth", url=f"https://{name}.invalid/{name}.pth") for name in "abc"]
    rows[0] = replace(rows[0], url=f"{url}/a.pth")
    monkeypatch.setattr(zoo, "CHECKPOINTS", {each.name: each for each in rows})
    asked = without_network(monkeypatch)
    assert fetch.main(["all", "--out", str(tmp_path / "to")]) == 1
    assert "not tried" not in capsys.readouterr().out
    assert set(asked) == {"b.invalid", "c.invalid"}


def test_an_interrupted_run_ends_with_a_summary(row, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(zoo, "CHECKPOINTS", {name: replace(row, name=name) for name in "abc"})
    monkeypatch.setattr(fetching, "by_hand", lambda each, *_: interrupt() if each.name == "b" else "")

    def interrupt():
        raise KeyboardInterrupt

    assert fetch.main(["all", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().out.endswith("1 by hand: a\n2 not tried: b, c\n")


def test_the_vocabulary_becomes_json(mirror, tmp_path, monkeypatch):
    folder, url = mirror
    (folder / "vocab.pkl").write_bytes(b"x")
    vocabulary = "third_party_ports.m2_transformer.vocabulary.convert_vocabulary"
    monkeypatch.setattr(vocabulary, lambda source, out: f"{out.write_text('[]')} letters")
    monkeypatch.setattr(zoo, "CHECKPOINTS", {"m2_vocab": replace(zoo.CHECKPOINTS["m2_vocab"], bytes=1, sha256=None)})
    assert fetch.main(["m2_vocab", "--out", str(tmp_path), "--base_url", url]) == 0
    assert (tmp_path / "m2_vocab.json").read_text() == "[]"


@pytest.mark.parametrize("file", ["../escaped.pth", "/etc/escaped.pth", "folder/escaped.pth"])
def test_a_name_that_leaves_the_folder(row, file, tmp_path):
    with pytest.raises(ValueError, match="bare name"):
        fetching.fetch(replace(row, file=file), tmp_path)


def test_links_are_https_and_end_with_the_files_name():
    for row in zoo.CHECKPOINTS.values():
        assert row.page.startswith("https://")
        assert row.url is None or (row.url.startswith("https://") and row.url.endswith(f"/{row.file}"))


def test_the_readme_has_every_checkpoint():
    readme = (ROOT / "third_party_ports/README.md").read_text()
    for row in zoo.CHECKPOINTS.values():
        licence, how = row.licence.split(" (")[0], "fetched" if row.url else "by pip" if row.package else "by hand"
        assert f"| `{row.name}` | [`{row.file}`]({row.page}) | {row.size} | {licence} | {how} |" in readme


def test_unknown_names(capsys):
    with pytest.raises(SystemExit):
        fetch.main(["swin"])
    assert "swin_base_22k" in capsys.readouterr().err
