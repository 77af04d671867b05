"""A stored record of a data set -> the group in it, as numpy arrays, strings and bytes.

Depth maps are most of the work of reading, so each is unpacked when it is asked for.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from tensorflow_datasets.proto import tf_example_pb2

from third_party_ports.reading import reading

REMEDY = "build it again with ipa-jax build --overwrite, or copy the data set's folder again"
_TEXT = ("group_id", "account", "first_post", "category")
_TEXTS = ("image_ids", "post_ids", "retrieved_ids", "captions", "hashtags", "comments")
_LATER_TEXTS = ("machine_captions",)  # since version 1.1.0 of the data set
_NUMBERS = {
    "post": np.int32,
    "likes": np.int64,
    "times": np.int64,
    "pairs": np.int32,
    "similarity": np.float64,
    "local_score": np.float64,
    "count": np.int32,
    "mask": np.bool_,
    "sponsored": np.bool_,
    "people": np.int32,
    "carousel_length": np.int32,
    "weight": np.float32,
}


class DatasetError(ValueError):
    """A file of a data set is missing, damaged or from elsewhere. The message names it, and what to do."""


class DepthMaps:
    """The depth maps of a group's N images, u16 [N, side, side], as an array that unpacks only what is asked for.

    Index it with a position or with several, or take numpy.asarray of it.

    Args:
      stored: a zlib stream per image; before version 1.2.0 of the data set, one of all images.
      images: N.
      side: pixels of a map.
      place: the record, for messages.

    Raises:
      DatasetError: the streams are not of N maps of that side.
    """

    dtype = np.dtype(np.uint16)

    def __init__(self, stored: Sequence[bytes], images: int, side: int, place: str):
        self.shape = images, side, side
        self._place = place
        self._maps: np.ndarray | None = None
        self._stored = stored
        if len(stored) != images:
            if len(stored) != 1:
                raise DatasetError(f"{place}: {len(stored)} depth maps of {images} images; {REMEDY}")
            self._maps = self._unpack(stored[0], images)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        if self._maps is not None:
            return self._maps[index]
        positions = np.arange(len(self))[index]
        if not positions.ndim:
            return self._unpack(self._stored[int(positions)], 1)[0]
        maps = [self._unpack(self._stored[position], 1) for position in positions.tolist()]
        return np.concatenate(maps) if maps else np.zeros((0, *self.shape[1:]), self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self[:], dtype or self.dtype)

    def _unpack(self, stream: bytes, images: int) -> np.ndarray:
        with reading(self._place, DatasetError, REMEDY):
            maps = np.frombuffer(zlib.decompress(stream), self.dtype)
            return maps.reshape(images, *self.shape[1:])


def decode(record: bytes, k: int, side: int, place: str) -> dict[str, Any]:
    """A stored example as `dataset.GroupDataset.__getitem__` describes it.

    Args:
      record: the bytes of a tf.train.Example.
      k: images that each image retrieves.
      side: pixels of the depth maps; 0: without them.
      place: the record, for messages.

    Raises:
      DatasetError: the record does not hold a group.
    """
    with reading(place, DatasetError, REMEDY):
        # TFDS' own decoder is slower: it builds object arrays for each example and always unpacks depth.
        # Protobuf makes the class Example when it is imported, so pyright does not see it.
        example = tf_example_pb2.Example.FromString(record)  # pyright: ignore[reportAttributeAccessIssue]
        values = {name: feature.bytes_list.value for name, feature in example.features.feature.items()}
        group: dict[str, Any] = {name: values[name][0].decode() for name in _TEXT}
        group |= {name: [text.decode() for text in values[name]] for name in _TEXTS}
        for name in _LATER_TEXTS:
            if name in values:
                group[name] = [text.decode() for text in values[name]]
        group["images"] = list(values["images"])
        for name, dtype in _NUMBERS.items():
            group[name] = np.frombuffer(values[name][0], dtype)
        n = len(group["likes"])
        group["pairs"] = group["pairs"].reshape(-1, 2)
        group["similarity"] = group["similarity"].reshape(n, k, 4)
        if "foreign" in values:
            group["foreign"] = np.frombuffer(values["foreign"][0], np.bool_)
        for name in ("local_score", "count", "mask", *["foreign"] * ("foreign" in group)):
            group[name] = group[name].reshape(n, k)
        if side:
            group["depth"] = DepthMaps(values["depth"], n, side, place)
    return group
