"""Public weights without training: scores as rows of the index, photos as published, weights that are not there."""

import numpy as np
import pytest

from ipa_jax.input import photos
from ipa_jax.peers import zero_shot
from tests.helpers.group_stand_in import StandIn
from third_party_ports import imagenet

TINY = {
    "nima": {"stem": 4, "blocks": ((8, 2),)},
    "i2pa": {"stage_sizes": (1,), "width": 4},
    "musiq": {"width": 8, "layers": 1, "heads": 2, "hidden": 8, "stem": 4, "groups": 2},
}


@pytest.mark.parametrize("name", TINY)
def test_zero_shot_scores_are_rows_of_the_index(name):
    dataset = StandIn([3, 2], side=30)
    table = zero_shot.scores(name, None, dataset, random_weights=True, fields=TINY[name])
    assert table.columns == ["account", "record", "image_id", "post_id", "likes", "z"]
    assert table["image_id"].to_list() == dataset.images["image_id"].to_list()
    z = table["z"].to_numpy()
    assert np.isfinite(z).all() and len(np.unique(z)) == 5
    other = StandIn([3, 2], side=30)
    other.examples[0]["images"][0] = other.examples[1]["images"][0]
    changed = zero_shot.scores(name, None, other, random_weights=True, fields=TINY[name])["z"].to_numpy()
    assert changed[0] == pytest.approx(changed[3], abs=1e-6)
    np.testing.assert_allclose(changed[1:], z[1:], atol=1e-6)  # an image's score is its own


def test_zero_shot_prepares_photos_as_published():
    """I2PA by hand: squeezed to 224, [0, 1], nothing else; the network's output is z."""
    from data_builders.features import frozen_network

    dataset = StandIn([2], side=30)
    z = zero_shot.scores("i2pa", None, dataset, random_weights=True, fields=TINY["i2pa"])["z"].to_numpy()
    network, variables = frozen_network.load("i2pa", TINY["i2pa"], "", (1, 224, 224, 3), "float32", True)
    photos_ = [imagenet.resize(photos.decode_whole(photo), (224, 224)) for photo in dataset.examples[0]["images"]]
    expected, _ = network.apply(variables, np.stack(photos_) / np.float32(255), train=False)
    np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-5)


def test_a_row_without_weights_says_how_to_get_them(tmp_path):
    assert zero_shot.missing("nima", None).startswith("weights not given; nima_aesthetic: ")
    with pytest.raises(zero_shot.MissingWeights, match=r"musiq_ava\.safetensors is not there; .*fetch musiq_ava --out"):
        zero_shot.scores("musiq", tmp_path, StandIn([2]))
    with pytest.raises(ValueError, match="'vgg' is no system with public weights"):
        zero_shot.scores("vgg", tmp_path, StandIn([2]))
    (tmp_path / "i2pa.safetensors").touch()
    assert zero_shot.missing("i2pa", tmp_path) is None
