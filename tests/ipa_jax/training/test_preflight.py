"""Each error of preflight names file, field and remedy, before anything is compiled."""

import json
import re

import pytest

from configs import full
from data_builders import photos
from ipa_jax.training import preflight
from ipa_jax.training.preflight import PreflightError

HERE, OLD = photos.versions(), {"pillow": "11.0.0"}


@pytest.fixture
def config(tmp_path):
    """A tiny config and what preflight reads of its data set: the metadata alone."""
    config = full.get_config("tiny")
    config.data_dir = str(tmp_path)
    write(tmp_path, config.data.to_dict())
    return config


def write(folder, options, random_weights: bool = False, **more) -> None:
    metadata = {"choices": options, "random_weights": random_weights, "build_report": "build_report.json", "source": {}}
    metadata |= more
    (folder / "metadata.json").write_text(json.dumps(metadata))
    (folder / "dataset_info.json").write_text("{}")


def refused(call, *parts: str):
    """The PreflightError's message has all these parts."""
    with pytest.raises(PreflightError) as error:
        call()
    for part in parts:
        assert part in str(error.value)


def test_what_fits_passes(config):
    preflight.check(config, devices=1)


@pytest.mark.parametrize(
    "section, field, value, remedy",
    [
        ("loss", "name", "mse", "ratio_share"),
        ("model", "fusion", "sum", "aggregation, concat"),
        ("batch", "packs", 0, "1 or more"),
        ("train", "log_every", 0, "1 or more"),
        ("train", "epochs", 0.0, "above 0"),
        ("eval", "bootstrap", 0, "1 or more"),
    ],
)
def test_a_value_that_nothing_knows(config, section, field, value, remedy):
    config[section][field] = value
    refused(lambda: preflight.check(config, devices=1), f"config.{section}.{field} is {value!r}", remedy)


def test_a_gpu_without_bfloat16_is_named_unless_the_dtype_is_another(config, caplog):
    config.model.dtype = "bfloat16"
    preflight.warn_of_bfloat16(config, ["8.0", "12.0"])
    assert not caplog.records
    preflight.warn_of_bfloat16(config, ["7.5", "8.0", "7.5"])
    assert "compute capability 7.5 " in caplog.text and "--config.model.dtype=float16" in caplog.text
    caplog.clear()
    config.model.dtype = "float16"
    preflight.warn_of_bfloat16(config, ["7.5"])
    assert not caplog.records


def test_a_depth_branch_without_depth_maps(config, tmp_path):
    config.data.depth.side = 0
    write(tmp_path, config.data.to_dict())
    refused(lambda: preflight.check(config, devices=1), "config.model.depth.enabled", "config.data.depth.side is 0")
    config.model.depth.enabled = False
    preflight.check(config, devices=1)


def test_an_unset_data_dir(config):
    config.data_dir = None
    refused(lambda: preflight.check(config, 1), "config.data_dir is not set", "build")


def test_a_data_dir_that_is_not_there(config, tmp_path):
    config.data_dir = str(tmp_path / "absent")
    refused(lambda: preflight.check(config, 1), "config.data_dir", str(tmp_path / "absent"), "build")


@pytest.mark.parametrize("file", ["dataset_info.json", "metadata.json"])
def test_a_folder_that_holds_no_data_set(config, tmp_path, file):
    (tmp_path / file).unlink()
    refused(lambda: preflight.check(config, 1), "config.data_dir", str(tmp_path), "build")


@pytest.mark.parametrize(("pairs", "backbone", "told"), [(300, "efficientnet_lite", True), (300, "swin", False),
                                                         (5000, "efficientnet_lite", False)])  # fmt: skip
def test_few_pairs_are_told_where_the_probe_may_do_as_well(config, tmp_path, caplog, pairs, backbone, told):
    config.model.backbone = backbone
    write(tmp_path, config.data.to_dict(), statistics={"train": {"pairs": pairs}})
    preflight.check_data(config)
    assert ("--scorer=probe" in caplog.text and "300" in caplog.text) == told


def test_every_differing_choice_is_named_with_both_values(config, tmp_path):
    stored = config.data.to_dict()
    stored["memory"] = stored["memory"] | {"exclude": "post"}
    stored["retrieval"] = {"k": 3}
    write(tmp_path, stored)
    refused(
        lambda: preflight.check(config, 1), str(tmp_path), "config.data.memory.exclude", "'post'", "'group'",
        "config.data.retrieval.k", "3", "5", "build again",
    )  # fmt: skip


def test_features_of_random_weights(config, tmp_path):
    write(tmp_path, config.data.to_dict(), random_weights=True)
    refused(lambda: preflight.check(config, 1), str(tmp_path), "random", "--config.allow_random_features=True")
    config.allow_random_features = True
    preflight.check(config, 1)


@pytest.mark.parametrize(
    ("features", "build", "named"),
    [({}, {}, False), ({"decoded_with": [HERE]}, HERE, False), ({}, OLD, True), ({"decoded_with": [OLD]}, HERE, True)],
)
def test_a_mixture_of_versions_that_decoded_photos_is_a_warning(config, tmp_path, caplog, features, build, named):
    more = {"decoded_with": build} if build else {}
    write(tmp_path, config.data.to_dict(), features=features, **more)
    preflight.check(config, 1)
    assert ("pillow 11.0.0" in caplog.text) == named


def test_a_data_set_built_with_the_leak(config, tmp_path):
    config.data.memory.exclude = "none"
    write(tmp_path, config.data.to_dict())
    refused(lambda: preflight.check(config, 1), str(tmp_path), "config.data.memory.exclude", "--config.allow_leak=True")
    config.allow_leak = True
    preflight.check(config, 1)


@pytest.mark.parametrize("name", ["swin", "resnet"])
def test_unset_weights(config, name, tmp_path):
    config.init.random = False
    other = {"swin": "resnet", "resnet": "swin"}[name]
    config.init[other] = str(tmp_path / "metadata.json")  # any file that exists
    refused(lambda: preflight.check(config, 1), f"config.init.{name} is not set", "--config.init.random=True")


@pytest.mark.parametrize("name", ["swin", "resnet"])
def test_weights_that_are_not_there_even_where_a_random_start_is_allowed(config, name):
    config.init[name] = "/nowhere/weights.safetensors"
    refused(lambda: preflight.check(config, 1), f"config.init.{name}", "/nowhere/weights.safetensors", "convert")


def test_without_the_depth_branch_no_resnet_is_asked_for(config, tmp_path):
    config.init.random, config.init.swin = False, str(tmp_path / "metadata.json")
    config.model.depth.enabled = False
    preflight.check(config, 1)


@pytest.mark.parametrize("by, field", [("pairs", "pairs"), ("groups", "packs")])
def test_a_batch_that_devices_and_micro_batches_do_not_divide(config, by, field):
    config.batch.by, config.batch[field], config.batch.accumulate = by, 12, 2
    for devices in (1, 2, 3, 6):
        preflight.check(config, devices)
    refused(
        lambda: preflight.check(config, 4), f"config.batch.{field} is 12", "4 devices", "batch.accumulate 2",
        "multiple of 8",
    )  # fmt: skip


def test_a_crop_beyond_the_image(config):
    config.input.crop = 64
    refused(lambda: preflight.check(config, 1), "config.input.crop 64", "input.resize 24")


def test_weights_that_cannot_be_read_end_a_run_with_a_message(config, tmp_path):
    """main prints ValueErrors, so a broken file must raise one."""
    from third_party_ports.checkpoints.weights import WeightsError, load_safetensors

    file = tmp_path / "swin.safetensors"
    file.write_bytes(b"broken")
    with pytest.raises(WeightsError, match=re.escape(str(file))) as error:
        load_safetensors(file)
    assert isinstance(error.value, ValueError)
