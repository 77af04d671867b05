"""The eight types of leakage of Kapoor and Narayanan (Patterns 2023), each decided by a computation on the stored data.

The checks do not trust what a build or a run says about itself. Splits come from ids, features are computed again
(recompute.py), duplicates come from the stored bytes, and times from the images that were retrieved.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import binomtest, mannwhitneyu

from data_builders.groups import DAY, SPLITS, split_of
from data_builders.top3000.duplicates import nearest_bits
from ipa_jax.leakage import recompute
from ipa_jax.leakage.stored_data import StoredData

NO_TEST_SET, FEATURE_SELECTION, ILLEGITIMATE = (  # the lines to which a run adds something
    "1.1 no test set",
    "1.3 feature selection on train and test",
    "2 illegitimate features",
)
PASS, FAIL, NOT_APPLICABLE = "pass", "fail", "not applicable"
NOTE = "note"  # the verdict of a line that only informs
MAX_DUPLICATES = 0.01  # share of the test images; above it, the figures without duplicates differ noticeably
RARE = 0.001  # a difference fails if fair sampling gives it with a lower probability
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}

Added = Mapping[str, tuple[list[str], str]]  # title of a line -> faults of a run, and what to say if it has none


@dataclass(frozen=True)
class Line:
    """A line of the checklist.

    Attributes:
      title: what is checked.
      verdict: PASS, FAIL, NOT_APPLICABLE or NOTE.
      found: what was found in this data set.
      decided_by: the computation behind the verdict.
    """

    title: str
    verdict: str
    found: str
    decided_by: str


def _line(title: str, faults: list[str], fine: str, decided_by: str) -> Line:
    """PASS with the text `fine` if there are no faults, else FAIL with the faults."""
    return Line(title, FAIL if faults else PASS, "; ".join(faults) or fine, decided_by)


def check(data: StoredData, explained: np.ndarray, run: Added | None = None) -> list[Line]:
    """The eight lines, in the order of Kapoor and Narayanan.

    Args:
      data: a data set, all splits.
      explained: what `recompute.explain` returns for it, int8 [I].
      run: what a trained run adds to the lines (run_checks.py).
    """
    lines = [
        no_test_set(data),
        preprocessing(data, explained),
        feature_selection(data),
        duplicates(data),
        illegitimate_features(data, explained),
        temporal(data, explained),
        non_independence(data),
        sampling(data),
    ]
    return [_with_run(line, *run[line.title]) if run and line.title in run else line for line in lines]


def _with_run(line: Line, faults: list[str], fine: str) -> Line:
    found = [line.found] if line.verdict == FAIL or not faults else []
    verdict = FAIL if faults else line.verdict
    return Line(line.title, verdict, "; ".join([*found, *(faults or [fine])]), line.decided_by)


def _shared(data: StoredData, a: str, b: str, columns: list[str]) -> int:
    """How many keys (account and `columns`) of split `a` are also in split `b`."""
    left, right = (data.images_of(split).select("account", *columns).unique() for split in (a, b))
    return left.join(right, on=left.columns, how="semi").height


def no_test_set(data: StoredData) -> Line:
    """Fails if the test split is empty or shares an image with train."""
    test = data.images_of("test")
    faults = [] if len(test) else ["the test split is empty"]
    if shared := _shared(data, "test", "train", ["image_id"]):
        faults.append(f"{shared} of {len(test)} test images are in the train split")
    return _line(
        NO_TEST_SET,
        faults,
        f"none of {len(test)} test images is in the train split",
        "image ids, compared between the splits",
    )


def preprocessing(data: StoredData, explained: np.ndarray) -> Line:
    """Fails if a fitted mean (of log likes, or of eq. 3) uses likes from outside train and the memory bank."""
    faults = []
    fitted = float(np.log(data.images_of("train")["likes"].to_numpy()).mean())
    stored = data.info["statistics"]["mean_log_likes"]
    if not np.isclose(stored, fitted, rtol=1e-9):
        faults.append(f"the stored mean of log likes is {stored:.6f}, but the train split gives {fitted:.6f}")
    names = recompute.rules(data.options["memory"])
    whole = (explained == recompute.UNEXPLAINED) | (explained == len(names) - 1)
    if whole.any():
        faults.append(f"the local scores of {_share(whole)} use likes from outside the memory bank")
    return _line(
        "1.2 preprocessing on train and test",
        faults,
        "all fitted numbers, the means of eq. 3 and of log likes, use only the memory bank and the train split",
        "local scores computed again with random likes for validation and test posts: equal to the last bit",
    )


def feature_selection(data: StoredData) -> Line:
    """Fails if validation, on which everything is chosen, shares an image with test or train."""
    faults = [
        f"{shared} of {len(data.images_of('validation'))} validation images are in the {other} split"
        for other in ("test", "train")
        if (shared := _shared(data, "validation", other, ["image_id"]))
    ]
    return _line(
        FEATURE_SELECTION,
        faults,
        "checkpoint and rescaling are chosen on validation, which shares no image with test or train",
        "image ids, compared between the splits; for a run, its best step and factor on z, found again on validation",
    )


def duplicates(data: StoredData) -> Line:
    """Fails if more than MAX_DUPLICATES of the test images are in train or the bank under another id."""
    most = data.options["duplicates"]["max_bits"]
    near = nearest_bits(data.images, data.options["split"]["by"] == "account") <= most
    equal = equal_files(data)
    either = near | equal
    share = either.mean() if len(either) else 0.0
    text = (
        f"{int(either.sum())} of {len(either)} test images ({100 * share:.2f} %) are in train or in the memory bank "
        f"under another id: {int(near.sum())} look alike (pHash within {most} bits), {int(equal.sum())} are equal files"
    )
    faults = [text] if share > MAX_DUPLICATES else []
    return _line("1.4 duplicates", faults, text, f"hashes of the stored bytes; up to {100 * MAX_DUPLICATES:g} % pass")


def equal_files(data: StoredData) -> np.ndarray:
    """Whether train holds the same bytes as each test image under another id: bool [test images]."""
    test, train = data.images_of("test"), data.images_of("train")
    train = train.join(test, on=["account", "image_id"], how="anti")
    return test["sha256"].is_in(train["sha256"].implode()).to_numpy()


def illegitimate_features(data: StoredData, explained: np.ndarray) -> Line:
    """Fails unless each image's stored features come from a memory bank without the likes of its own group."""
    names = recompute.rules(data.options["memory"])
    faults = []
    for number, rule in enumerate(names):
        if rule.sees != "bank" and (there := explained == number).any():
            faults.append(f"the features of {_share(there)} use {rule}")
    if (unknown := explained == recompute.UNEXPLAINED).any():
        faults.append(f"the features of {_share(unknown)} follow from no rule")
    return _line(
        ILLEGITIMATE,
        faults,
        f"the features of all {len(explained)} images are independent of the likes of their own group",
        "features computed again with random likes for the image's own group: equal to the last bit",
    )


def temporal(data: StoredData, explained: np.ndarray) -> Line:
    """Fails if a post's features use later posts although memory.past_only promises that they do not."""
    title = "3.1 temporal leakage"
    late = np.concatenate([*recompute.newer(data), np.zeros(0, np.int64)])
    if not len(late):
        return Line(title, NOT_APPLICABLE, "no image retrieved another one", "times of the retrieved images")
    share, latest = float((late >= 0).mean()), late.max() / DAY
    memory = data.options["memory"]
    by = "times of the retrieved images; features computed again with random likes for later posts"
    if not memory["past_only"]:
        return Line(
            title,
            NOT_APPLICABLE,
            f"no forecast is promised: {100 * share:.0f} % of the retrieved images are newer than their query "
            f"(by up to {latest:.0f} days); set memory.past_only to make claims about future posts",
            by,
        )
    names = recompute.rules(memory)
    late_features = ~np.isin(explained, [number for number, rule in enumerate(names) if rule.past])
    faults = [f"the features of {_share(late_features)} use the likes of later posts"] if late_features.any() else []
    if share:
        faults.append(
            f"{100 * share:.0f} % of the retrieved images are newer than their query, by up to {latest:.0f} days"
        )
    return _line(title, faults, f"every retrieved post is at least {-latest:.1f} days older than its query", by)


def non_independence(data: StoredData) -> Line:
    """Fails if a post or a group is in two splits, or an account if the split is by account."""
    faults = []
    shared = data.images.select("account", "post_id", "group_id").unique().group_by("account", "post_id").len()
    if torn := int((shared["len"] > 1).sum()):
        faults.append(f"{torn} posts are in two groups")
    if mixed := interleaved(data):
        faults.append(f"{mixed} test groups overlap in time with a group of another split")
    train, test = (set(data.images_of(split)["account"].unique()) for split in ("train", "test"))
    if data.options["split"]["by"] == "account" and (known := len(train & test)):
        faults.append(f"{known} of {len(test)} test accounts are in train, but the split is by account")
    return _line(
        "3.2 non-independence",
        faults,
        "each group of consecutive posts is in one split only; "
        f"{len(train & test)} of {len(test)} test accounts are also in train",
        "posts, accounts, and the first and last times of groups, compared between the splits",
    )


def interleaved(data: StoredData) -> int:
    """How many test groups overlap, in the order of (time, post id), with a group of another split of the account."""
    posts = data.posts.sort("account", "time", "post_id").with_row_index("place")
    groups = posts.group_by("account", "group_id", "split", maintain_order=True).agg(
        first=pl.col("place").min(), last=pl.col("place").max()
    )
    pairs = groups.filter(pl.col("split") == "test").join(groups, on="account", suffix="_other")
    within = pairs.filter(
        (pl.col("split_other") != "test")
        & (pl.col("first") < pl.col("last_other"))
        & (pl.col("first_other") < pl.col("last"))
    )
    return within.select("account", "group_id").n_unique()


def sampling(data: StoredData) -> Line:
    """Fails if a group is not in the split that its ids give, or if the test groups differ from the others."""
    choice, faults = data.options["split"], []
    groups = data.groups
    wrong = sum(
        SPLITS[split_of(account, first, choice["seed"], choice["by"])] != split
        for account, first, split in groups.select("account", "first_post", "split").iter_rows()
    )
    if wrong:
        faults.append(f"{wrong} of {len(groups)} groups are in another split than the hash of their ids gives")
    by_account = choice["by"] == "account"
    units, what = (groups.select("account", "split").unique(), "accounts") if by_account else (groups, "groups")
    tests = int((units["split"] == "test").sum())
    if tests and binomtest(tests, len(units), SHARES["test"]).pvalue < RARE:
        faults.append(f"{tests} of {len(units)} {what} are in test, not a tenth")
    table = group_figures(data)
    if by_account:  # groups of an account are drawn together
        table = table.group_by("account", "split").mean()
    for name in ("images", "valid pairs of all pairs", "log of most over fewest likes"):
        here, others = (table.filter(mask)[name] for mask in (pl.col("split") == "test", pl.col("split") != "test"))
        if len(here) and len(others) and mannwhitneyu(here, others).pvalue < RARE:
            faults.append(f"test groups differ in {name}: {here.mean():.2f} on average, the others {others.mean():.2f}")
    return _line(
        "3.3 sampling bias",
        faults,
        f"the hash of their ids puts {tests} of {len(units)} {what} into test, and they are like the others",
        f"ids hashed again; share, size and likes of the test groups against the others (p < {RARE:g} fails)",
    )


def group_figures(data: StoredData) -> pl.DataFrame:
    """A row per group: account, split, images, share of valid pairs in all pairs, log of most over fewest likes."""
    likes = data.images.group_by("split", "record").agg(
        (pl.col("likes").max() / pl.col("likes").min()).log().alias("log of most over fewest likes")
    )
    rows = data.groups.join(likes, on=["split", "record"]).with_columns(pl.col("images").cast(pl.Float64))
    share = (pl.col("pairs") / (pl.col("images") * (pl.col("images") - 1) / 2)).alias("valid pairs of all pairs")
    return rows.select("account", "split", "images", share, "log of most over fewest likes")


def _share(there: np.ndarray) -> str:
    return f"{int(there.sum())} of {len(there)} images"
