"""Small counts that stand for hidden likes, told from accounts with few likes."""

import polars as pl
import pytest

from data_builders.posts.hidden_likes import hidden_likes


def hidden(accounts: dict[str, list[int]]) -> dict[str, set[int]]:
    """By account, the counts that are found; every post of a count must be."""
    rows = [(account, likes) for account, listed in accounts.items() for likes in listed]
    table = pl.DataFrame(rows, schema={"account": pl.String, "likes": pl.Int64}, orient="row")
    marked = table.with_columns(hidden_likes(table).alias("hidden"))
    for _, group in marked.group_by("account", "likes"):
        assert group["hidden"].n_unique() == 1
    found = marked.filter("hidden").group_by("account").agg(pl.col("likes").unique())
    return {account: set(likes) for account, likes in found.iter_rows()}


USUAL = [80, 120, 95, 300, 60, 75, 110, 140, 90, 85]


@pytest.mark.parametrize(
    ("accounts", "expected"),
    [
        ({"a": USUAL}, {}),
        ({"a": [*USUAL, 3, 3, 3]}, {"a": {3}}),
        ({"a": [*USUAL, 3, 3]}, {}),  # two posts may be chance
        ({"a": [3, 3, 3, 80, 90]}, {"a": {3}}),  # fewer than 10 posts
        ({"a": [3, 3, 3]}, {"a": {3}}),
        ({"a": [3, 3]}, {}),
        ({"a": [2, 3, 3, 4, 5, 3, 6, 2, 3, 4, 7]}, {}),  # few likes, all of them real
        ({"a": [1] * 19 + [2]}, {"a": {1}}),
        ({"a": [12] * 9 + USUAL}, {}),
        ({"a": [3, 90], "b": [3, 80], "c": [3, 120], "d": USUAL[:3]}, {"a": {3}, "b": {3}, "c": {3}}),  # the whole list
        ({"a": [3, 90], "b": [3, 80], "c": [3, 120], "d": [*USUAL, 3]}, {"a": {3}, "b": {3}, "c": {3}}),
        ({"a": [*USUAL, *USUAL, 3, 3, 3], "b": [3] * 9, "c": [2, 3, 3, 4, 5, 3, 6, 4, 3, 4, 7]}, {"a": {3}, "b": {3}}),
        ({"a": [*USUAL, 3, 3, 3, 3], "b": [-1, 50]}, {"a": {3}, "b": {-1}}),
        ({"a": []}, {}),
    ],
)
def test_which_counts_are_suspicious(accounts, expected):
    assert hidden(accounts) == expected
