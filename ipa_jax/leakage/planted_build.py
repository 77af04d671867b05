"""data_builders.build with a leak: what the checklist must catch, and what a leak is worth in accuracy.

    python -m ipa_jax planted-build --plant=own_group --config=configs/demo.py --raw=RAW
        --features=STORE --data_dir=DATA

The other flags are those of data_builders.build, and so is all of the work: each leak replaces a function or two of the
build while it runs. The data set keeps its form; PLANTED.txt beside its shards says what was done.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from data_builders import build as honest
from data_builders.demo_world.plants import PLANTS
from third_party_ports.cli import DONE, fail

WIDE = 4  # under "sampling": a kept test group's most likes over its fewest
LEAKS = tuple(name for name, plant in PLANTS.items() if plant.build)


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Builds inside the block have the leak `name` of LEAKS."""
    with ExitStack() as replaced:
        for target, function in _REPLACED[name]().items():
            replaced.enter_context(mock.patch(f"data_builders.{target}", function))
        yield


def _with_more_groups(into: int, also: int | None) -> dict[str, Callable]:
    """The split `into` has the groups of test: beside its own (`also` = into), or in their place (None)."""
    from data_builders.groups import TEST
    from data_builders.retrieval.accounts import Account
    from data_builders.retrieval.top_k import retrieve

    groups = Account.groups

    def leaky_groups(account: Account, split: int) -> Iterator[tuple[int, np.ndarray]]:
        if split == into:
            yield from () if also is None else groups(account, also)
            split = TEST
        yield from groups(account, split)

    def retrieve_all(images: Any, features: Any, choices: Any, split: int | None = None, **more: Any) -> Any:
        return retrieve(images, features, choices, None, **more)

    return {"retrieval.accounts.Account.groups": leaky_groups, "top3000.examples.retrieve": retrieve_all}


def _no_test() -> dict[str, Callable]:
    from data_builders.groups import TRAIN

    return _with_more_groups(TRAIN, TRAIN)


def _feature_selection() -> dict[str, Callable]:
    from data_builders.groups import VALIDATION

    return _with_more_groups(VALIDATION, None)


def _preprocessing() -> dict[str, Callable]:
    from data_builders.retrieval.local_score import local_scores
    from data_builders.retrieval.top_k import retrieve

    def retrieve_scaled(images: Any, features: Any, choices: Any, *more: Any, **options: Any) -> Any:
        """What an honest query retrieves, with local scores over all posts of kept groups."""
        found = retrieve(images, features, choices, *more, **options)
        kept = images.rows(images.group >= 0)
        _, first = np.unique(kept.post, return_index=True)
        posts = kept.rows(first)
        local, count = local_scores(posts.time, posts.likes, np.ones((1, len(posts)), bool), choices["memory"])
        at = np.searchsorted(posts.post, images.post[np.where(found.mask, found.index, 0)])
        at = np.minimum(at, len(posts) - 1)
        found.local_score[found.mask] = local[0, at][found.mask]
        found.count[found.mask] = count[0, at][found.mask]
        return found

    return {"top3000.examples.retrieve": retrieve_scaled}


def _own_group() -> dict[str, Callable]:
    from data_builders.groups import TRAIN
    from data_builders.retrieval.top_k import retrieve

    def whole_account(images: Any, split_by: str) -> np.ndarray:
        return images.group >= 0

    def visible(query: Any, bank: Any, memory: Any, split_by: str) -> np.ndarray:
        own_group, own_post = query.group[:, None] == bank.group, query.post[:, None] == bank.post
        return ((bank.split == TRAIN) | own_group) & ~own_post

    def retrieve_near(images: Any, features: Any, choices: Any, *more: Any, **options: Any) -> Any:
        choices = {**choices, "memory": {**choices["memory"], "exclude": "post"}}  # each post sees a bank of its own
        with (
            mock.patch("data_builders.retrieval.top_k.in_bank", whole_account),
            mock.patch("data_builders.retrieval.top_k.visible", visible),
        ):
            return retrieve(images, features, choices, *more, **options)

    return {"top3000.examples.retrieve": retrieve_near}


def _temporal() -> dict[str, Callable]:
    from data_builders.retrieval.top_k import retrieve

    def retrieve_any_time(images: Any, features: Any, choices: Any, *more: Any, **options: Any) -> Any:
        require_fields("temporal", choices)
        choices = {**choices, "memory": {**choices["memory"], "past_only": False}}
        return retrieve(images, features, choices, *more, **options)

    return {"top3000.examples.retrieve": retrieve_any_time}


def _sibling() -> dict[str, Callable]:
    from data_builders.groups import assign_groups

    def dealt(time: np.ndarray, post_images: np.ndarray, window_days: float, max_images: int) -> np.ndarray:
        walked = assign_groups(time, post_images, window_days, max_images)
        return np.where(walked < 0, walked, 2 * walked + np.arange(len(walked)) % 2).astype(np.int32)

    return {"groups.assign_groups": dealt}


def _sampling() -> dict[str, Callable]:
    from data_builders.groups import TEST
    from data_builders.retrieval.accounts import Account

    groups = Account.groups

    def wide_groups(account: Account, split: int) -> Iterator[tuple[int, np.ndarray]]:
        for group, positions in groups(account, split):
            likes = account.images.likes[positions]
            if split != TEST or likes.max() > WIDE * likes.min():
                yield group, positions

    return {"retrieval.accounts.Account.groups": wide_groups}


_REPLACED: dict[str, Callable[[], dict[str, Callable]]] = {
    "no_test": _no_test,
    "preprocessing": _preprocessing,
    "feature_selection": _feature_selection,
    "own_group": _own_group,
    "temporal": _temporal,
    "sibling": _sibling,
    "sampling": _sampling,
}


def require_fields(name: str, choices: Mapping[str, Any]) -> None:
    """Raises ValueError where the leak `name` has nothing to break under these choices (config.data)."""
    if name == "temporal" and not choices["memory"]["past_only"]:
        raise ValueError("--plant=temporal breaks what past_only promises: add --config.data.memory.past_only=True")


def mark(folder: Path, name: str) -> None:
    """Leaves PLANTED.txt in a data set's folder."""
    plant = PLANTS[name]
    (folder / "PLANTED.txt").write_text(f"A planted leak, {plant.kind}: {plant.text}. For measuring alone.\n")


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = honest.build_parser("planted-build", __doc__)
    parser.add_argument("--plant", choices=LEAKS, required=True, help="the leak (ipa-jax demo-world --help lists them)")
    args = parser.parse_args(argv)

    from data_builders.dataset import version_folder

    try:
        require_fields(args.plant, args.config.data.to_dict())  # before the images are read
    except ValueError as error:
        return fail(error)
    with planted(args.plant):
        status = honest.run(args)
    if status == DONE:
        mark(version_folder(args.data_dir), args.plant)
    return status


if __name__ == "__main__":
    sys.exit(main())
