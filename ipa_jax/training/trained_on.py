"""Which photos a model was trained on, as salted hashes in its export: it must not be judged on them."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from data_builders.dataset import GroupDataset
from ipa_jax.training.export_folder import REMEDY, ExportError, open_export
from third_party_ports.reading import reading

FILE = "trained_on.json"
BYTES = 12  # of a hash that are kept: no two of a billion photos share them


@dataclass(frozen=True)
class TrainedOn:
    """The train split of an export.

    Attributes:
      salt: is hashed before each photo, so that hashes of two exports cannot be matched with each other.
      newest: Unix seconds of the newest post.
      hashes: of the photos' bytes as the data set stores them.
    """

    salt: str
    newest: int
    hashes: frozenset[str]

    def holds(self, photo: bytes) -> bool:
        """Whether a photo file, as it is, was among the train images."""
        return self.hash_of(photo) in self.hashes

    def hash_of(self, photo: bytes) -> str:
        """The entry of `hashes` for a photo file."""
        return _hash(self.salt, photo)

    def to_json(self) -> str:
        """The file's content, the same whenever the same data set is listed."""
        return json.dumps({"salt": self.salt, "newest": self.newest, "hashes": sorted(self.hashes)}, indent=0)


def trained_on(dataset: GroupDataset, salt: str) -> TrainedOn:
    """Lists the images of a split. Reads all of them once; give a data set without depth maps."""
    records = tqdm(range(len(dataset)), desc="list train photos", unit="group", disable=None)
    hashes = {_hash(salt, photo) for record in records for photo in dataset[record]["images"]}
    return TrainedOn(salt, int(dataset.images["time"].to_numpy().max(initial=0)), frozenset(hashes))


def load_trained_on(export: Path) -> TrainedOn | None:
    """The list of an export; None for an export of an earlier version, which has none. Raises ExportError if broken."""
    sums = open_export(export)
    if not sums.has(FILE):
        return None
    content = sums.read(FILE)
    with reading(export / FILE, ExportError, REMEDY):
        stored = json.loads(content)
        return TrainedOn(str(stored["salt"]), int(stored["newest"]), frozenset(map(str, stored["hashes"])))


def _hash(salt: str, photo: bytes) -> str:
    return hashlib.sha256(salt.encode() + photo).hexdigest()[: 2 * BYTES]
