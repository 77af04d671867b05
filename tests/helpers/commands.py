"""The project's commands in processes of their own, as a person types them."""

import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.paths import ROOT

# Most of what these tests wait for is compilation; what is computed stays the same between runs of one machine.
_FAST_COMPILE = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def environment(devices: int = 1, **more: str) -> dict[str, str]:
    """Of a command: forced host devices, and the compilation cache that tests/conftest.py names, for all sizes."""
    flags = f"{_FAST_COMPILE} --xla_force_host_platform_device_count={devices}"
    own = {"XLA_FLAGS": flags, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PLATFORMS": "cpu"}
    return os.environ | own | more


def command(name: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "ipa_jax", name, *map(str, arguments)]


def run(name: str, *arguments: str | Path, devices: int = 1, **more: str) -> subprocess.CompletedProcess:
    """Runs `python -m ipa_jax NAME ARGUMENTS` to its end; nothing is raised."""
    return subprocess.run(
        command(name, *arguments), cwd=ROOT, env=environment(devices, **more), capture_output=True, text=True
    )


def succeed(name: str, *arguments: str | Path, **more) -> subprocess.CompletedProcess:
    done = run(name, *arguments, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def fail(name: str, *arguments: str | Path, **more) -> subprocess.CompletedProcess:
    """Runs a command that must end with a message, not with a traceback."""
    done = run(name, *arguments, **more)
    assert done.returncode != 0, done.stdout
    assert "error: " in done.stderr and "Traceback" not in done.stderr, done.stderr
    return done


def train_flags(config: str, data: Path, workdir: Path, *more: str) -> list[str]:
    """Arguments of ipa_jax.main for a tiny model; `config` names a file of configs/."""
    return [f"--config=configs/{config}.py:tiny", f"--config.data_dir={data}", f"--workdir={workdir}", *more]
