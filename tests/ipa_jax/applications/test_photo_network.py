"""An export's network on photo files gives the scores that evaluation gave the same images of the data set."""

import numpy as np
import pytest

from data_builders.dataset import GroupDataset
from data_builders.retrieval.top_k import Retrieved, nothing
from ipa_jax.applications.photo_network import PhotoNetwork
from ipa_jax.training import workdir as workdirs

GIVEN = ("photo", "retrieval", "depth")


def test_scores_are_those_of_the_evaluation(demo_world, trained, tmp_path):
    network = PhotoNetwork(trained / "export", GIVEN)
    group = next(group for group in GroupDataset(demo_world / "data", "test") if group["mask"].any())
    count = len(group["images"])
    files = [tmp_path / f"{i}.jpg" for i in range(count)]
    for file, photo in zip(files, group["images"], strict=True):
        file.write_bytes(photo)
    mask = group["mask"]
    index = np.where(mask, 0, -1).astype(np.int32)
    found = Retrieved(index, group["similarity"], group["local_score"], group["count"], mask, mask.sum(axis=1))
    images = [network.read(file) for file in files]
    z = network.scores(images, [found, nothing(count, 5)], np.asarray(group["depth"]))
    scores = workdirs.read_scores(trained, "test").filter(account=group["account"])
    expected = [scores.filter(image_id=name)["z"].item() for name in group["image_ids"]]
    np.testing.assert_allclose(z[0], expected, atol=1e-5)
    assert (z[0] != z[1]).all()  # an empty bank changes what the network reads
    few = Retrieved(*(values[:, :2] if values.ndim > 1 else values for values in vars(found).values()))
    with pytest.raises(ValueError, match="reads 5 retrieved posts, but only 2"):
        network.scores(images, [few], np.asarray(group["depth"]))


def test_an_export_that_reads_more_than_is_given_is_refused(trained):
    with pytest.raises(ValueError, match=r"reads depth, which photos alone do not give; take .* configs/light.py"):
        PhotoNetwork(trained / "export", GIVEN[:2])
