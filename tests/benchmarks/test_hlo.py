"""The reader of compiled programs, on lines as XLA writes them and on a training step over two devices."""

import os
import subprocess
import sys
import textwrap

from benchmarks.hlo import AllReduce, all_reduces, donated, scatters, type_bytes
from tests.helpers.paths import ROOT

PROGRAM = """\
HloModule jit_step, is_scheduled=true, input_output_alias={ {0}: (0, {}, may-alias), {2}: (3, {}, must-alias) }, \
entry_computation_layout={(f32[4]{0})->f32[4]{0}}

%sum (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  ROOT %add = f32[] add(%x, %y)
}

ENTRY %main (a: f32[4], b: bf16[2,3]) -> f32[4] {
  %all-reduce.1 = (f32[4]{0}, /*index=1*/bf16[2,3]{1,0}) all-reduce(%a, %b), channel_id=1, to_apply=%sum
  %all-reduce-start.2 = f32[100]{0} all-reduce-start(%flat), channel_id=2, to_apply=%sum
  %fusion.3 = f32[4]{0} fusion(%a), kind=kLoop, calls=%body, metadata={op_name="jit(step)/scatter(x)"}
  %bitcast.4 = f32[4]{0} bitcast(%fusion.3)
  %custom-call.5 = (f32[4]{0}, s8[64]{0}) custom-call(%a), custom_call_target="__cublas$lt$matmul"
  %all-reduce-done.2 = f32[100]{0} all-reduce-done(%all-reduce-start.2)
  ROOT %scatter-add.1 = f32[4]{0} scatter(%a, %i, %u), to_apply=%sum
}
"""


def test_bytes_of_types():
    assert type_bytes("f32[4,8]{1,0}") == 128
    assert type_bytes("(f32[], pred[3]{0}, /*index=2*/u16[5]{0}, bf16[2,2]{1,0})") == 4 + 3 + 10 + 8
    assert type_bytes("()") == 0


def test_sums_over_devices_with_what_runs_beside_them():
    assert all_reduces(PROGRAM) == [AllReduce(2, 28, None), AllReduce(1, 400, 2)]


def test_donated_arguments_and_scattered_additions():
    assert donated(PROGRAM) == {0, 3}
    assert donated("HloModule jit_step, entry_computation_layout={(f32[4]{0})->f32[4]{0}}\n") == set()
    assert [line.name for line in scatters(PROGRAM)] == ["scatter-add.1"]


def test_a_step_over_two_devices():
    """Each gradient is summed once, in few reductions; the state is donated; no addition is without an order."""
    program = """
        import jax, numpy as np
        jax.config.update("jax_num_cpu_devices", 2)
        from flax import traverse_util
        from benchmarks import hlo
        from ipa_jax.models import registry
        from ipa_jax.training import devices, optimizer, state, steps
        from tests.helpers.tiny_models import random_packs, random_variables, tiny_config

        config = tiny_config(optim__ema=0.9)
        variables = random_variables(config)
        tx = optimizer.optimizer(variables["params"], config, total_steps=100)
        step = steps.make_train_step(registry.build(config), tx, config, 10.0, jax.devices())
        first = jax.tree.map(np.asarray, state.create(variables, tx, config.optim.ema))
        batch = {k: v.reshape(2, -1, *v.shape[1:]) for k, v in random_packs(config, 2, 3).items()}
        text = step.lower(devices.to_devices(first, jax.devices()), batch).compile().as_text()

        paths = traverse_util.flatten_dict(variables["batch_stats"])
        channels = [len(leaf) for path, leaf in paths.items() if path[-1] == "mean"]
        norms = sum(1 + 4 * count for count in channels)  # sums and squares forward, their gradients backward
        metrics = 5
        parameters, sums = optimizer.parameter_count(first.params), hlo.all_reduces(text)
        assert 4 * parameters <= sum(found.bytes for found in sums) <= 4 * (parameters + norms + metrics)
        assert len(sums) <= 2 * len(channels) + 3 < sum(found.arrays for found in sums), sums
        assert hlo.donated(text) == set(range(len(jax.tree.leaves(first))))
        assert not hlo.scatters(text), hlo.scatters(text)
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
