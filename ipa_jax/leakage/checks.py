"""The eight types of leakage of Kapoor and Narayanan (Patterns 2023), each decided by a computation on the stored data.

Nothing here reads what a build or a run says of itself where the data can be asked: splits come from ids, features are
computed again (visibility.py), duplicates come from the stored bytes, times from what was retrieved.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data_builders.groups import DAY, SPLITS, split_of
from ipa_jax.leakage import recompute
from ipa_jax.leakage.stored_data import StoredData

if TYPE_CHECKING:
    import polars as pl

NO_TEST_SET, FEATURE_SELECTION, ILLEGITIMATE = (  # the lines to which a run adds something
    "1.1 no test set",
    "1.3 feature selection on train and test",
    "2 illegitimate features",
)
PASS, FAIL, NOT_APPLICABLE = "pass", "fail", "not applicable"
MAX_DUPLICATES = 0.01  # of the test images: beyond, figures without them say something else
RARE = 0.001  # probability under fair sampling below which a difference is no accident
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}

Added = Mapping[str, tuple[list[str], str]]  # title of a line: faults of a run, and what is fine where it has none


@dataclass(frozen=True)
class Line:
    """A line of the checklist.

    Attributes:
      title: what is checked; verdict: PASS, FAIL or NOT_APPLICABLE.
      found: what was seen in this data set.
      decided_by: the computation.
    """

    title: str
    verdict: str
    found: str
    decided_by: str


def _line(title: str, faults: list[str], fine: str, decided_by: str) -> Line:
    """PASS with `fine`, or FAIL with the faults."""
    return Line(title, FAIL if faults else PASS, "; ".join(faults) or fine, decided_by)


def check(data: StoredData, explained: np.ndarray, run: Added | None = None) -> list[Line]:
    """The eight lines, in the paper's order.

    Args:
      explained: `visibility.explain` of the data.
      run: what a trained run adds to them (run_checks.py).
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
    """Keys (account and `columns`) of split `a` that split `b` has too."""
    left, right = (data.of(split).select("account", *columns).unique() for split in (a, b))
    return left.join(right, on=left.columns, how="semi").height


def no_test_set(data: StoredData) -> Line:
    """Whether there are test images, and none of them is in train."""
    test = data.of("test")
    faults = [] if len(test) else ["the test split is empty"]
    if shared := _shared(data, "test", "train", ["image_id"]):
        faults.append(f"{shared} of {len(test)} test images are in the train split")
    return _line(
        NO_TEST_SET,
        faults,
        f"none of {len(test)} test images is in the train split",
        "image ids of the splits compared",
    )


def preprocessing(data: StoredData, explained: np.ndarray) -> Line:
    """Whether the means that are fitted, of log likes and of eq. 3, come out of train and the memory bank alone."""
    faults = []
    fitted = float(np.log(data.of("train")["likes"].to_numpy()).mean())
    stored = data.info["statistics"]["mean_log_likes"]
    if not np.isclose(stored, fitted, rtol=1e-9):
        faults.append(f"the stored mean of log likes is {stored:.6f}, that of the train split {fitted:.6f}")
    names = recompute.rules(data.options["memory"])
    whole = (explained == recompute.UNEXPLAINED) | (explained == len(names) - 1)
    if whole.any():
        faults.append(f"the local scores of {_share(whole)} take likes beyond the memory bank into their means")
    return _line(
        "1.2 preprocessing on train and test",
        faults,
        "all that is fitted, the means of eq. 3 and of log likes, comes out of the bank and of train alone",
        "local scores computed again, the likes of validation and test posts made random: equal to the last bit",
    )


def feature_selection(data: StoredData) -> Line:
    """Whether validation, on which all is chosen, shares no image with test or train."""
    faults = [
        f"{shared} of {len(data.of('validation'))} validation images are in the {other} split"
        for other in ("test", "train")
        if (shared := _shared(data, "validation", other, ["image_id"]))
    ]
    return _line(
        FEATURE_SELECTION,
        faults,
        "what is chosen (checkpoint, rescaling) is chosen on validation, which shares no image with test or train",
        "image ids of the splits compared; of a run the step that was kept, and its factor, found again on validation",
    )


def duplicates(data: StoredData) -> Line:
    """The test images that train or the bank holds under another id, by bytes or looks: at most MAX_DUPLICATES."""
    from data_builders.top3000.duplicates import nearest_bits

    most = data.options["duplicates"]["max_bits"]
    near = nearest_bits(data.images, data.options["split"]["by"] == "account") <= most
    equal = equal_files(data)
    either = near | equal
    share = either.mean() if len(either) else 0.0
    text = (
        f"{int(either.sum())} of {len(either)} test images ({share:.2%}) stand in train or in the bank under another "
        f"id: {int(near.sum())} look alike (pHash within {most} bits), {int(equal.sum())} are equal files"
    )
    faults = [text] if share > MAX_DUPLICATES else []
    return _line(
        "1.4 duplicates", faults, text, f"hashes of the stored bytes; at most {MAX_DUPLICATES:.0%} are accepted"
    )


def equal_files(data: StoredData) -> np.ndarray:
    """bool, for each test image whether its very bytes are in train under another id."""
    test, train = data.of("test"), data.of("train")
    train = train.join(test, on=["account", "image_id"], how="anti")
    return test["sha256"].is_in(train["sha256"].implode()).to_numpy()


def illegitimate_features(data: StoredData, explained: np.ndarray) -> Line:
    """Whether each image's features are what a bank without its own group's likes gives."""
    names = recompute.rules(data.options["memory"])
    faults = []
    for number, rule in enumerate(names):
        if rule.sees != "bank" and (there := explained == number).any():
            faults.append(f"{_share(there)} see {rule}")
    if (unknown := explained == recompute.UNEXPLAINED).any():
        faults.append(f"{_share(unknown)} have features that no rule gives")
    return _line(
        ILLEGITIMATE,
        faults,
        f"no like of its own group reaches any of {len(explained)} images",
        "features computed again with the likes of the own group made random: equal to the last bit",
    )


def temporal(data: StoredData, explained: np.ndarray) -> Line:
    """Whether nothing later than a post reaches its features, where memory.past_only promises that."""
    title = "3.1 temporal leakage"
    late = np.concatenate([*recompute.newer(data), np.zeros(0, np.int64)])
    if not len(late):
        return Line(title, NOT_APPLICABLE, "nothing was retrieved", "what was retrieved")
    share, latest = float((late >= 0).mean()), late.max() / DAY
    memory = data.options["memory"]
    by = "times of what was retrieved; features computed again with the likes of later posts made random"
    if not memory["past_only"]:
        return Line(
            title,
            NOT_APPLICABLE,
            f"no forecast is promised: {share:.0%} of what is retrieved is newer than its query (up to {latest:.0f} "
            "days); a claim about posts to come needs memory.past_only",
            by,
        )
    names = recompute.rules(memory)
    late_features = ~np.isin(explained, [number for number, rule in enumerate(names) if rule.past])
    faults = [f"{_share(late_features)} have features that later likes go into"] if late_features.any() else []
    if share:
        faults.append(f"{share:.0%} of what is retrieved is newer than its query, up to {latest:.0f} days")
    return _line(title, faults, f"the newest post retrieved is {-latest:.1f} days older than its query", by)


def non_independence(data: StoredData) -> Line:
    """Whether posts and groups lie whole in one split, and accounts too where the split is by account."""
    faults = []
    shared = data.images.select("account", "post_id", "group_id").unique().group_by("account", "post_id").len()
    if torn := int((shared["len"] > 1).sum()):
        faults.append(f"{torn} posts stand in two groups")
    if mixed := interleaved(data):
        faults.append(f"{mixed} test groups lie within the days of a group of another split")
    train, test = (set(data.of(split)["account"].unique()) for split in ("train", "test"))
    if data.options["split"]["by"] == "account" and (known := len(train & test)):
        faults.append(f"{known} of {len(test)} test accounts are in train, but the split is by account")
    return _line(
        "3.2 non-independence",
        faults,
        f"whole groups of consecutive posts lie in one split; {len(train & test)} of {len(test)} test accounts are in "
        "train",
        "posts, groups' first and last times, and accounts of the splits compared",
    )


def interleaved(data: StoredData) -> int:
    """Test groups of which a post lies, in the order of (time, post id), between two of a group of another split."""
    import polars as pl

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
    """The split that each group's ids give, and whether the test groups look like the others."""
    import polars as pl
    from scipy.stats import binomtest, mannwhitneyu

    choice, faults = data.options["split"], []
    groups = data.groups
    wrong = sum(
        SPLITS[split_of(account, first, choice["seed"], choice["by"])] != split
        for account, first, split in groups.select("account", "first_post", "split").iter_rows()
    )
    if wrong:
        faults.append(f"{wrong} of {len(groups)} groups are not in the split that the hash of their ids gives")
    by_account = choice["by"] == "account"
    units, what = (groups.select("account", "split").unique(), "accounts") if by_account else (groups, "groups")
    tests = int((units["split"] == "test").sum())
    if tests and binomtest(tests, len(units), SHARES["test"]).pvalue < RARE:
        faults.append(
            f"{tests} of {len(units)} {'accounts' if units is not groups else 'groups'} are in test, not a tenth"
        )
    table = group_figures(data)
    if by_account:  # groups of an account are drawn together
        table = table.group_by("account", "split").mean()
    for name in ("images", "valid pairs of all pairs", "log of most over fewest likes"):
        here, others = (table.filter(mask)[name] for mask in (pl.col("split") == "test", pl.col("split") != "test"))
        if len(here) and len(others) and mannwhitneyu(here, others).pvalue < RARE:
            faults.append(f"test groups differ in {name}: {here.mean():.2f} on average, others {others.mean():.2f}")
    return _line(
        "3.3 sampling bias",
        faults,
        f"{tests} of {len(units)} {what} were drawn for test by the hash of their ids, and are like the others",
        f"splits hashed again; share, size and likes of the test groups against the others (p < {RARE:g} fails)",
    )


def group_figures(data: StoredData) -> "pl.DataFrame":
    """A row a group: account, split, images, valid pairs of all pairs, log of most over fewest likes."""
    import polars as pl

    likes = data.images.group_by("split", "record").agg(
        (pl.col("likes").max() / pl.col("likes").min()).log().alias("log of most over fewest likes")
    )
    rows = data.groups.join(likes, on=["split", "record"]).with_columns(pl.col("images").cast(pl.Float64))
    share = (pl.col("pairs") / (pl.col("images") * (pl.col("images") - 1) / 2)).alias("valid pairs of all pairs")
    return rows.select("account", "split", "images", share, "log of most over fewest likes")


def _share(there: np.ndarray) -> str:
    return f"{int(there.sum())} of {len(there)} images"
