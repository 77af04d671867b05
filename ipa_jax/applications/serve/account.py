"""An account's history, opened once: everything that ranking photos needs of it, however many arrive later."""

from dataclasses import dataclass
from pathlib import Path

from ml_collections import ConfigDict

from data_builders.features.photo_store import store_beside
from data_builders.posts.history import open_history
from ipa_jax.applications import rank_job, rank_page, reasons
from ipa_jax.applications.expected_likes import ExpectedLikes, expected_likes
from ipa_jax.applications.export_model import ExportModel
from ipa_jax.applications.history_bank import HistoryBank
from ipa_jax.applications.own_past import AUTO, OwnPast, own_past
from ipa_jax.applications.ranking import NewPhotos, Ranking, rank
from ipa_jax.applications.thumbnails import thumbnails
from ipa_jax.applications.track_record import TrackRecord, track_record
from third_party_ports.files import cache_folder

KEY = 20  # hexadecimal digits of a file's sha256 that name it in addresses


@dataclass(frozen=True)
class Account:
    """A history that is ready to rank photos.

    Attributes:
      root: the folder that paths of posts begin at.
      store: keeps features and thumbnails of the history's photos.
      config: of the features.
      bank, past, model: as `ranking.rank` takes them.
      record, expected: how often such an order was right, and how ranges of likes are made.
      digests: path of a post's photo -> sha256.
    """

    root: Path
    store: Path
    config: ConfigDict
    bank: HistoryBank
    past: OwnPast
    model: ExportModel | None
    record: TrackRecord
    expected: ExpectedLikes
    digests: dict[str, str]

    @property
    def verdict(self) -> str:
        """What the own past says about a ranking, in words."""
        return reasons.verdict(self.record)

    def rank(self, photos: NewPhotos) -> Ranking:
        """Ranks photos as `ipa-jax rank` does. Raises as `ranking.rank`."""
        options = self.config.data.to_dict()
        return rank(self.bank, photos, options, model=self.model, past=self.past, seed=self.config.seed)

    def post_key(self, path: str) -> str:
        """Names the photo of a post in addresses."""
        return self.digests[path][:KEY]

    def post(self, key: str) -> bytes | None:
        """The thumbnail of a post's photo; None if no post has this key."""
        found = next(((path, digest) for path, digest in self.digests.items() if digest[:KEY] == key), None)
        if found is None:
            return None
        path, digest = found
        return thumbnails([self.root / path], [digest], rank_page.POST_SIDE, self.store / "thumbnails")[0]


def open_account(
    history: Path,
    account: str | None = None,
    export: Path | None = None,
    profile: str = "light",
    weights: Path = Path("weights"),
) -> Account:
    """Opens a history, describes its photos, and ranks its own past. Prints what it found.

    Args:
      history, account, export, profile, weights: the flags of `ipa-jax serve`.

    Raises:
      RawDataError: the history cannot be used, or --account must say whose it is.
      ValueError: the export does not fit, or weights are missing.
    """
    rank_job.keep_compiled()
    opened = open_history(history, account, cache_folder() / "histories")
    print(f"history: {opened.summary()}", flush=True)
    for warning in opened.skips.warnings:
        print(f"warning: {warning}", flush=True)
    model = None if export is None else ExportModel(export, opened.root)
    config = rank_job.config_of(profile, weights, model)
    store = store_beside(opened.root)
    bank, digests = rank_job.bank_of(opened, config, store)
    options = config.data.to_dict()
    past = own_past(bank, options, model)
    return Account(
        root=opened.root,
        store=store,
        config=config,
        bank=bank,
        past=past,
        model=model,
        record=track_record(bank, past, options["pairs"]["min_ratio"], AUTO, config.seed),
        expected=expected_likes(bank, past, AUTO),
        digests=digests,
    )
