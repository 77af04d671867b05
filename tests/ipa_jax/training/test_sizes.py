"""Sizes that only fit together: what preflight lets through has parameters; the rest is refused by its field."""

import importlib
import random
from collections.abc import Iterator
from typing import Any

import jax
import pytest
from ml_collections import ConfigDict

from ipa_jax.models import registry
from ipa_jax.training import preflight
from ipa_jax.training.initial import example_inputs, with_resnet

CONFIGS = ("full", "light", "concat", "nima_tuned", "musiq_tuned", "i2pa_tuned", "uhan", "xu")
READ = ("model.", "input.crop", "input.resize", "data.retrieval.", "texts.")
NUMBERS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 31, 32, 48, 56, 64)
SMALL = (0, 1, 2, 3, 5, 1.5)


def tiny(name: str) -> ConfigDict:
    return importlib.import_module(f"configs.{name}").get_config("tiny")


def fields(config: Any, prefix: str = "") -> Iterator[tuple[Any, str, str]]:
    """(the part of the config that holds a field, the field's name there, its whole path)."""
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from fields(value, f"{prefix}{name}.")
        else:
            yield config, name, f"{prefix}{name}"


def drawn(value: Any, rng: random.Random) -> Any:
    """Another value of the type of one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice(NUMBERS)
    if not isinstance(value, tuple):
        return value
    row = tuple(rng.choice(SMALL) for _ in range(rng.choice((1, 2, 4, 5))))
    return rng.choice((row, (row, row), value * 2, value[:1]))


@pytest.mark.parametrize("name", CONFIGS)
def test_what_preflight_lets_through_has_parameters(name):
    rng, built = random.Random(CONFIGS.index(name)), 0
    while built < 2:
        config = tiny(name)
        read = (*READ, f"{config.model.network}.")
        known = [field for field in fields(config) if field[2].startswith(read)]
        for part, field, _ in rng.sample(known, 2):
            part[field] = drawn(part[field], rng)
        try:
            preflight.check_model(config)
        except preflight.PreflightError as error:
            assert "config." in str(error)
            continue
        config = with_resnet(config)
        model, example = registry.build(config, dtype="float32"), example_inputs(config)
        shapes = jax.eval_shape(lambda key, m=model, e=example: m.init(key, e, train=False), jax.random.key(0))
        built += bool(jax.tree.leaves(shapes))


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("full", "model.swin.patch", 7),
        ("full", "model.swin.window", 5),
        ("full", "model.swin.depths", (1.5,)),
        ("full", "model.swin.depths", ((1, 2),)),
        ("full", "input.crop", 31),
        ("full", "model.depth.stage_sizes", (1, 1, 1, 1, 1)),
        ("light", "model.efficientnet_lite.stages", ((1, 3, 1, 1),)),
        ("nima_tuned", "nima.blocks", ((56, 1), (2,))),
        ("i2pa_tuned", "i2pa.stage_sizes", (1, 1.5)),
        ("xu", "xu.head", (96,)),
        ("xu", "xu.fields", (1, 2)),
        ("uhan", "uhan.fields", (("post",),)),
    ],
)
def test_sizes_that_do_not_fit_are_refused_by_their_field(name, field, value):
    config = tiny(name)
    *parts, last = field.split(".")
    part: Any = config
    for each in parts:
        part = part[each]
    part[last] = value
    with pytest.raises(preflight.PreflightError, match=field.rpartition(".")[0].replace(".", r"\.")):
        preflight.check_model(config)
