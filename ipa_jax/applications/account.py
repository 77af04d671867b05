"""An account's history, opened once: everything that ranking photos needs of it, however many arrive later."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax
from ml_collections import ConfigDict

from configs import full, light
from data_builders.features.features import Features
from data_builders.features.photo_store import PhotoFeatures, features_of, store_beside
from data_builders.posts.hidden_likes import hidden_likes
from data_builders.posts.history import History, open_history
from ipa_jax.applications import rank_page, reasons
from ipa_jax.applications.expected_likes import ExpectedLikes, expected_likes
from ipa_jax.applications.export_model import ExportModel
from ipa_jax.applications.history_bank import HistoryBank, history_bank
from ipa_jax.applications.history_flags import Source
from ipa_jax.applications.own_past import AUTO, OwnPast, own_past
from ipa_jax.applications.ranked_photo import RankedPhoto, check_scorer, explain
from ipa_jax.applications.ranking import Arranged, NewPhotos, Ranking, on_record, rank
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
      digests: path of a post's photo -> sha256.
    """

    root: Path
    store: Path
    config: ConfigDict
    bank: HistoryBank
    past: OwnPast
    model: ExportModel | None
    digests: dict[str, str]

    @cached_property
    def record(self) -> TrackRecord:
        """How often the order of `auto` was right on the account's past."""
        return track_record(self.bank, self.past, self.config.data.pairs.min_ratio, AUTO, self.config.seed)

    @cached_property
    def expected(self) -> ExpectedLikes:
        """How ranges of likes are made."""
        return expected_likes(self.bank, self.past, AUTO)

    @property
    def verdict(self) -> str:
        """What the own past says about a ranking, in words."""
        return reasons.verdict(self.record)

    def rank(self, photos: NewPhotos, scorer: str = AUTO, pick: str | None = None) -> Ranking:
        """Ranks photos; arguments and errors as those of `ranking.rank`."""
        return rank(
            self.bank, photos, self.config.data.to_dict(), scorer=scorer, pick=pick, model=self.model, past=self.past,
            seed=self.config.seed,
        )  # fmt: skip

    def describe(self, files: Sequence[Path]) -> PhotoFeatures:
        """Features of photo files, which are kept in the store. Raises as `features_of`."""
        return features_of(files, self.config, self.store, "photos")

    def described(self, files: Sequence[Path], store: Path) -> tuple[Features, dict[int, str]]:
        """Features of passing photos, kept in another store: of those that can be read, in order; and why the others
        cannot, by position. Raises as `features_of`."""
        found = features_of(files, self.config, store, progress=False)
        return found.features.rows(found.rows[found.rows >= 0]), found.reasons

    def explain(self, names: tuple[str, ...], features: Features, scorer: str = AUTO) -> list[RankedPhoto]:
        """Scores photos, each as if it were alone; arguments and errors as those of `ranked_photo.explain`."""
        check_scorer(scorer, self.model is not None)
        expected = expected_likes(self.bank, self.past, scorer)
        options = self.config.data.to_dict()
        return explain(self.bank, self.past, names, features, options, scorer, expected, self.model)

    def on_record(self, arranged: Arranged, scorer: str = AUTO) -> Ranking:
        """Photos in order, with what the history says about such an order."""
        record = track_record(self.bank, self.past, self.config.data.pairs.min_ratio, scorer, self.config.seed)
        return on_record(self.bank, self.past, scorer, record, expected_likes(self.bank, self.past, scorer), arranged)

    def post_pictures(self, photos: Iterable[RankedPhoto]) -> dict[str, bytes]:
        """Path -> JPEG for pages, of the posts that the best photo of each unit resembles."""
        paths = list(dict.fromkeys(post.path for photo in photos if photo.leads for post in photo.similar))
        files, digests = [self.root / path for path in paths], [self.digests[path] for path in paths]
        small = thumbnails(files, digests, rank_page.POST_SIDE, self.store / "thumbnails")
        return dict(zip(paths, small, strict=True))

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


def open_source(source: Source) -> Account:
    """Opens the history that a command's flags name. Raises as `open_account`."""
    assert source.history is not None
    return open_account(source.history, source.account, source.export, source.profile, source.weights)


def open_account(
    history: Path,
    account: str | None = None,
    export: Path | None = None,
    profile: str = "light",
    weights: Path = Path("weights"),
) -> Account:
    """Opens a history, describes its photos, and ranks its own past. Prints what it found.

    Args:
      history, account, export, profile, weights: the flags of `ipa-jax rank` and `ipa-jax serve`.

    Raises:
      RawDataError: the history cannot be used, or --account must say whose it is.
      ValueError: no post can be used, the export does not fit, or weights are missing.
    """
    _keep_compiled()
    opened = open_history(history, account, cache_folder() / "histories")
    print(f"history: {history}: {opened.summary().partition(': ')[2]}", flush=True)
    for warning in opened.skips.warnings:
        print(f"warning: {warning}", flush=True)
    model = None if export is None else ExportModel(export, opened.root)
    config = _config(profile, weights, model)
    store = store_beside(opened.root)
    bank, digests = _bank(opened, config, store)
    _say_left_out(bank, history)
    past = own_past(bank, config.data.to_dict(), model)
    return Account(opened.root, store, config, bank, past, model, digests)


def _keep_compiled() -> None:
    """Keeps compiled networks in the user's cache, so that the next run starts at once."""
    if not jax.config.jax_compilation_cache_dir:  # pyright: ignore[reportAttributeAccessIssue]
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))


def _config(profile: str, weights: Path, model: ExportModel | None) -> ConfigDict:
    """What describes photos and retrieves posts: as the export was trained with, else as --profile says."""
    chosen = light.get_config() if profile == "light" else full.get_config()
    config = (chosen if model is None else model.config).copy_and_resolve_references()
    config.extract.weights = str(weights)
    return config.lock()


def _bank(history: History, config: ConfigDict, store: Path) -> tuple[HistoryBank, dict[str, str]]:
    """The bank, and path -> sha256 of its posts' photos."""
    paths = [paths[0] for paths in history.table["image_paths"].to_list()]
    found = features_of([history.root / path for path in paths], config, store, "history")
    hidden = hidden_likes(history.table).to_numpy()
    bank = history_bank(history.table, found.features, as_of=history.as_of, rows=found.rows, hidden=hidden)
    digest = dict(zip(paths, found.digests, strict=True))
    return bank, {path: digest[path] for path in bank.paths}


def _say_left_out(bank: HistoryBank, history: Path) -> None:
    """Prints which posts are not used. Raises ValueError if none is left."""
    lines = rank_page.left_out_lines(bank.left_out, bank.as_of_date)
    if not len(bank):
        raise ValueError(f"{history}: no post of the history can be used ({'; '.join(lines)})")
    for line in lines:
        print(f"left out {line}")
