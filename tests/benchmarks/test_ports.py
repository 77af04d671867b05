"""Tests of benchmarks.ports without PyTorch: what it counts, times and prints for a tiny network."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import port_rows, port_timing, ports


def tiny(dtype):
    from third_party_ports.resnet import KEYS, ResNet

    network = ResNet((1,), 2, dtype=dtype)
    shapes = port_rows._shapes(network, (16, 16, 3), train=False)
    return port_rows.Port(lambda variables, images: network.apply(variables, images, train=False)[0], shapes, KEYS)


@pytest.fixture
def rows(monkeypatch):
    row = port_rows.Row("tiny", "a tiny ResNet", (16, 16, 3), (2, 4), tiny, alone="it is ours")
    monkeypatch.setitem(port_rows.ROWS, "tiny", row)


def test_counts_products_convolutions_and_loops():
    def function(x, kernel, image):
        turns, _ = jax.lax.scan(lambda carry, _: (carry @ kernel, None), x, length=5)
        padded = [(1, 1), (1, 1)]
        return turns, jax.lax.conv_general_dilated(
            image, jnp.ones((3, 3, 2, 8)), (2, 2), padded, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    traced = jax.make_jaxpr(jax.jit(function))(jnp.ones((3, 4)), jnp.ones((4, 4)), jnp.ones((1, 6, 6, 2)))
    products, convolution = 5 * 2 * (3 * 4) * 4, 2 * (3 * 3 * 8) * (3 * 3 * 2)
    assert port_timing.flop(traced.jaxpr) == products + convolution


def test_measures_a_port(rows):
    found = port_timing.measure("tiny", ("jax",), None, 3, "float32")
    assert found["platform"] == "cpu" and found["batch"] == 2 and found["threads"] >= 1
    assert len(found["seconds"]["jax"]) == 3 and min(found["seconds"]["jax"]) > 0
    assert found["peak_bytes"] > 1e7 and found["flop"] > 0 and "error" not in found


def test_cells_of_a_row(rows):
    result = {"name": "tiny", "dtype": "bfloat16", "batch": 2, "flop": 3e9, "peak_flops": 24e9, "error": 2e-6}
    result |= {"seconds": {"jax": [0.5, 1.0, 0.25], "torch": [1.0, 1.0, 1.0]}, "memory": {"jax": 2e9, "torch": 1e9}}
    cells = ports.cells(result)
    assert cells["input"] == "2 x 16 x 16"
    assert cells["JAX /s"] == "4 (2 - 8)" and cells["PyTorch /s"] == "2 (2 - 2)" and cells["JAX / PyTorch"] == "2.00"
    assert cells["GB, JAX / PyTorch"] == "2.0 / 1.0" and cells["of peak"] == "50 %"
    assert set(cells) == set(ports.COLUMNS)


def test_prints_failures_and_missing_counterparts(rows, capsys):
    result = {"name": "tiny", "dtype": "float32", "failed": "RuntimeError: out of memory"}
    ports._print([result], markdown=True)
    out = capsys.readouterr().out
    assert "| a tiny ResNet | float32 | failed, see below |" in out
    assert "a tiny ResNet: no counterpart, it is ours." in out


def test_error_compares_maps_across_layouts():
    torch_like = type("Tensor", (), {"float": lambda s: s, "cpu": lambda s: s, "numpy": lambda s: s.values})()
    ours = np.random.default_rng(0).standard_normal((1, 2, 3, 4))
    torch_like.values = ours.transpose(0, 3, 1, 2)
    assert port_timing._error([ours], [torch_like]) == 0
    assert port_timing._error([1.1 * ours], [torch_like]) == pytest.approx(0.1)


@pytest.mark.parametrize("name", port_rows.ROWS)
def test_every_row_has_a_counterpart_or_a_reason(name):
    row = port_rows.ROWS[name]
    assert bool(row.torch) != bool(row.alone)


def test_importing_the_command_loads_no_framework():
    code = "import sys, benchmarks.ports; sys.exit(bool({'jax', 'torch', 'flax'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_unknown_names_are_an_error(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ports", "swim"])
    with pytest.raises(SystemExit):
        ports.main()
    assert "no network is called swim; choose from swin, " in capsys.readouterr().err


def test_counts_a_tiled_convolution_as_the_plain_one():
    from third_party_ports.layers.winograd import convolution

    def function(x, kernel):
        dimensions = ("NHWC", "HWIO", "NHWC")
        return convolution(x, kernel, (1, 1), "SAME", dimension_numbers=dimensions)

    traced = jax.make_jaxpr(function)(jnp.ones((1, 16, 16, 64)), jnp.ones((3, 3, 64, 128)))
    assert port_timing.flop(traced.jaxpr) == 2 * (16 * 16 * 128) * (9 * 64)
