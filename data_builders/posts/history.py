"""Opens the history of one account: whatever it lies in, the posts of that account and what was left out."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from data_builders.posts.archive import unpacked
from data_builders.posts.influencer_dataset import INFLUENCERS, read_influencers
from data_builders.posts.post import RawDataError, Skips
from data_builders.posts.read import READERS, read_posts, reader_of
from data_builders.posts.table import composed

LISTED = 20  # accounts that an error names
NAMELESS = "me"  # the account of a list without a column account
OPTIONS: dict[str, Any] = {"top_n": 1 << 60, "posts": {"carousel": "all", "min_age_days": 0.0}}  # of config.data

_DATE = re.compile(r"(?<!\d)(20\d\d)-(\d\d)-(\d\d)(?!\d)")


@dataclass(frozen=True)
class History:
    """The posts of one account.

    Attributes:
      root: the folder that image_paths are relative to.
      layout: what the history was taken for, in words.
      account: whose posts these are.
      table: the posts of that account (columns post.SCHEMA, sorted by time), carousels with all their photos.
      skips: what was left out of the whole raw data, other accounts included; warnings about other accounts are not.
      accounts: the names of all accounts, ascending.
      as_of: Unix seconds of the time at which the likes were counted: what the layout states, else the newest post's.
    """

    root: Path
    layout: str
    account: str
    table: pl.DataFrame
    skips: Skips
    accounts: tuple[str, ...]
    as_of: int

    def summary(self) -> str:
        """What was read, in one line."""
        first, last = (datetime.fromtimestamp(self.table["time"][i], UTC).date() for i in (0, -1))
        found = self.skips.summary()
        left_out = f"; left out {found}" if found else ""
        return (
            f"{self.root}: {self.layout}, account {self.account}, {len(self.table)} posts, {first} to {last}{left_out}"
        )


def open_history(path: Path, account: str | None, cache: Path) -> History:
    """Opens the history of one account.

    Args:
      path: raw posts of a layout in `read.READERS`, or a zip of them; ~ is the home folder.
      account: whose posts; None if there is only one account. Case and a leading @ do not matter.
      cache: the folder in which zips are unpacked.

    Returns:
      The history.

    Raises:
      RawDataError: no reader recognises the data, they are broken, no post is usable, there are several accounts and
        none was chosen, or the chosen one is not there. Names up to 20 accounts.
      OSError: a zip cannot be unpacked into the cache.
    """
    path = path.expanduser()
    raw = _opened(unpacked(path, cache)) if path.is_file() and path.suffix.lower() == ".zip" else path
    reader = reader_of(raw)
    options = OPTIONS | {"only_account": composed((account or "").removeprefix("@")) or NAMELESS}
    if reader is READERS["influencer_dataset"] and (raw / INFLUENCERS).is_file():  # too large to read all accounts
        accounts = sorted(each.name for each in read_influencers(raw / INFLUENCERS, Skips()))
        account = _chosen(path, account, accounts, {})
        options |= {"accounts": (account,)}
        table, skips = read_posts(raw, options)
    else:
        table, skips = read_posts(raw, options)
        counts = dict(table.group_by("account").len().sort("account").iter_rows())
        accounts = list(counts)
        account = _chosen(path, account, accounts, counts)
        table = table.filter(pl.col("account") == account)
        own = f"account {account}:"
        skips.warnings = [text for text in skips.warnings if text.startswith(own) or not text.startswith("account ")]
    root = raw.parent if raw.is_file() else raw
    newest = int(table["time"][-1])
    stated = _date(path, root, table) if reader is READERS["instagram_export"] else 0
    return History(root, reader.name, account, table, skips, tuple(accounts), max(newest, stated))


def _opened(folder: Path) -> Path:
    """An unpacked folder, or the only folder in it, where zips of a whole folder have their files."""
    inside = list(folder.iterdir())
    try:
        reader_of(folder)
    except RawDataError:
        return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
    return folder


def _chosen(path: Path, account: str | None, accounts: Sequence[str], posts: dict[str, int]) -> str:
    """The account's name as the data have it. `posts` is the number of posts by account, if it is known."""
    most = sorted(accounts, key=lambda name: -posts.get(name, 0))[:LISTED]
    listed = ", ".join(f"{name} ({posts[name]} posts)" if name in posts else name for name in most)
    listed += f", and {len(accounts) - LISTED} more" if len(accounts) > LISTED else ""
    if account is None:
        if len(accounts) == 1:
            return accounts[0]
        raise RawDataError(path, f"there are {len(accounts)} accounts here", f"Choose one with --account: {listed}")
    account = composed(account)
    if account in accounts:
        return account
    wanted = account.removeprefix("@").casefold()
    same = [name for name in accounts if name.casefold() == wanted]
    if len(same) == 1:
        return same[0]
    near = difflib.get_close_matches(wanted, accounts, 3)
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    raise RawDataError(path, f"there is no usable post of an account {account!r}{meant}", f"The accounts are {listed}")


def _date(path: Path, root: Path, table: pl.DataFrame) -> int:
    """The day of an export of Instagram by the name of its zip or folder, in Unix seconds; 0 if none has it."""
    first = Path(table["image_paths"][0][0]).parts[0]
    for name in (path.name, root.absolute().name, first):
        if match := _DATE.search(name):
            try:
                return int(datetime(*map(int, match.groups()), tzinfo=UTC).timestamp())
            except ValueError:
                continue
    return 0
