"""What a reading process does for extraction: opens a photo and prepares it for each extractor.

Reading processes import this module. It loads no jax, which would cost each of them a second and its memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from data_builders import photos
from data_builders.features.extractors import extractor
from third_party_ports.worker_process import end_with_parent


@dataclass(frozen=True)
class Image:
    """A photo to extract. `path` is relative to the raw folder."""

    account: str
    image_id: str
    path: str


class Inputs(NamedTuple):
    """A photo, prepared for the networks. A tuple, so that grain finds its arrays and puts them into shared memory.

    Attributes:
      width, height: pixels of the upright photo.
      prepared: by extractor, what its `prepare` returned.
      reason: why the photo is left out; "" for one that can be used.
      detail: more about the reason, such as what the decoder said.
    """

    image: Image
    width: int
    height: int
    prepared: dict[str, Any]
    reason: str = ""
    detail: str = ""


class Prepare:
    """Turns an Image into Inputs. It can be sent to reading processes.

    Args:
      root: the folder that paths are relative to.
      options: config.extract as a nested mapping.
      extractors: names of EXTRACTORS.
    """

    def __init__(self, root: Path, options: Mapping[str, Any], extractors: Sequence[str]):
        self._root, self._options, self._extractors = root, options, tuple(extractors)
        self._near = min((extractor(name).near(options) for name in self._extractors), default=0)

    def __call__(self, image: Image) -> Inputs:
        """Prepares one photo. A photo that is missing, unreadable or too narrow gets a reason; nothing is raised."""
        end_with_parent()
        path = self._root / image.path
        if not path.is_file():
            return _left_out(image, photos.MISSING)
        try:
            photo, (width, height) = photos.read_near(path, self._near)
        except photos.PhotoError as error:
            return _left_out(image, photos.UNREADABLE, str(error))
        if photos.is_too_narrow(width, height):
            return _left_out(image, photos.TOO_NARROW)
        prepared = {name: extractor(name).prepare(photo, self._options) for name in self._extractors}
        return Inputs(image, width, height, prepared)


def _left_out(image: Image, reason: str, detail: str = "") -> Inputs:
    return Inputs(image, 0, 0, {}, reason, detail)
