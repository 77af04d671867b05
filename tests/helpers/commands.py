"""The project's commands: in processes of their own, as a person types them, or quicker in this one."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

from ipa_jax.experiments import commands as steps
from ipa_jax.program import main
from tests.helpers.paths import ROOT
from third_party_ports.stopping import Stop


def environment(devices: int = 1, **more: str) -> dict[str, str]:
    """The environment of a command: the devices that the host is split into, and all that tests/conftest.py sets."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    return os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"} | more


def command(name: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "ipa_jax", name, *map(str, arguments)]


def run(name: str, *arguments: str | Path, devices: int = 1, **more: str) -> subprocess.CompletedProcess:
    """Runs `python -m ipa_jax NAME ARGUMENTS` to its end, whatever its exit status."""
    return subprocess.run(
        command(name, *arguments), cwd=ROOT, env=environment(devices, **more), capture_output=True, text=True
    )


@contextlib.contextmanager
def steps_here() -> Iterator[None]:
    """While it lasts, the commands that a longer job starts run in this process too."""

    def run_step(line: list[str], stop: Stop, capture: bool) -> tuple[int, str]:
        assert line[:3] == [sys.executable, "-m", "ipa_jax"], line
        with contextlib.redirect_stdout(io.StringIO()) if capture else contextlib.nullcontext() as stdout:
            status = _status(line[3:])
        return status, stdout.getvalue() if stdout else ""

    with patch.object(steps, "_run", run_step):
        yield


def _status(line: Sequence[str]) -> int:
    # The processes that draw a world would import for longer than they draw.
    own = ["--processes=1"] if line[0] == "demo-world" else []
    try:
        return main([*line, *own]) or 0
    except SystemExit as end:
        return int(end.code or 0)


def _here(name: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    """As `run`, in this process, which saves the seconds that a new one takes to import everything."""
    line = [name, *map(str, arguments)]
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr), steps_here():
        status = _status(line)
    return subprocess.CompletedProcess(line, status, stdout.getvalue(), stderr.getvalue())


def succeed(name: str, *arguments: str | Path, **more) -> subprocess.CompletedProcess:
    done = run(name, *arguments, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def succeed_here(name: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    done = _here(name, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def fail(name: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    """Runs a command in this process that must end with a message and not with an exception."""
    done = _here(name, *arguments)
    assert done.returncode in (1, 2), done.stdout
    assert "error: " in done.stderr and "Traceback" not in done.stderr, done.stderr
    return done


def train_flags(config: str, data: Path, workdir: Path, *more: str) -> list[str]:
    """Arguments of ipa_jax.main for a tiny model; `config` names a file of configs/."""
    return [f"--config=configs/{config}.py:tiny", f"--config.data_dir={data}", f"--workdir={workdir}", *more]
