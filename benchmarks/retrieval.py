"""Time of retrieval at the size of Top3000, beside its matrix products and the comparison of poses by themselves.

Run: python -m benchmarks.retrieval [--accounts 10,30,100] [--images 523] [--people 8] [--short]

An account has 523 images with vectors of 2048 and 512 numbers and 0 to 8 people. A few drawn accounts take turns, so
any number of accounts can be timed. All figures are CPU seconds of one thread, so that a busy machine changes little.
The references, in turns with it on the same accounts:

  products  the cosines' two matrix products in float64, from unit vectors that are ready
  poses     the OKS of all pairs of people in float64 by plain numpy, without the best match and the mean
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

DRAWN = 4  # accounts that take turns
DIMS = {"background": 2048, "caption": 512}
SIDE = 1080  # pixels of a photo
DAY = 86_400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", default="10,30,100", help="how many accounts (default 10,30,100)")
    parser.add_argument("--images", type=int, default=523, help="of an account (default 523)")
    parser.add_argument("--people", type=int, default=8, help="the most in an image (default 8)")
    parser.add_argument("--turns", type=int, default=9, help="turns of the references (default 9)")
    parser.add_argument("--short", action="store_true", help="3 accounts, 2 turns")
    args = parser.parse_args()
    if args.short:
        args.accounts, args.turns = "3", 2
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = "1"  # before numpy starts

    from benchmarks.timing import in_turns, machine, matrix_rate, peak_gigabytes, spread
    from data_builders.retrieval.top_k import retrieve

    drawn = [draw_account(seed, args.images, args.people) for seed in range(DRAWN)]
    ready = [prepare(account) for account in drawn]
    print(machine())
    print(f"accounts of {args.images} images, 0 to {args.people} people each; CPU ms per account, median (range)")

    def drawn_in_turn(work: Callable[[int], Any]) -> Callable[[int], Any]:
        return lambda turn: work(turn % DRAWN)

    seconds = in_turns(
        {
            "retrieval": drawn_in_turn(lambda i: retrieve(drawn[i].images, drawn[i].features, drawn[i].options)),
            "products": drawn_in_turn(lambda i: products(ready[i])),
            "poses": drawn_in_turn(lambda i: poses(ready[i])),
        },
        args.turns,
    )
    for name, values in seconds.items():
        print(f"  {name:10} {spread(values, 1e3)}")
    middle = {name: sorted(values)[len(values) // 2] for name, values in seconds.items()}
    alone = middle["products"] + middle["poses"]
    print(f"  retrieval / (products + poses): {middle['retrieval'] / alone:.2f}; the goal is 2 at most")
    print(f"  retrieval / products: {middle['retrieval'] / middle['products']:.2f}")
    rate = matrix_rate("float64")
    flop = sum(2 * len(a) * len(b) * a.shape[1] for a, b in ready[0].vectors)
    print(f"  bound: {flop / 1e9:.2f} GFLOP of products at {rate / 1e9:.0f} GFLOP/s is {flop / rate * 1e3:.1f} ms")
    for count in (int(text) for text in args.accounts.split(",")):
        begun = time.process_time()
        for number in range(count):
            account = drawn[number % DRAWN]
            retrieve(account.images, account.features, account.options)
        used, each = time.process_time() - begun, (time.process_time() - begun) / count
        print(f"{count} accounts: {used:.1f} CPU s, {each * 1e3:.1f} ms each; 3000 would take {3000 * each:.0f} s")
    print(f"peak memory: {peak_gigabytes():.2f} GB, with {DRAWN} accounts")


class Account(NamedTuple):
    images: Any  # AccountImages
    features: Any  # Features
    options: dict[str, Any]


class Ready(NamedTuple):
    """What the references start from: unit vectors of queries and bank, and the people of both."""

    vectors: list[tuple[Any, Any]]
    asked: tuple[Any, Any, Any]  # xy [17, 2, N], visible [17, N], factor [17, N]
    others: tuple[Any, Any, Any]


def draw_account(seed: int, images: int, people: int) -> Account:
    """An account that posts every other day, with people and vectors at random."""
    import numpy as np

    from configs import full
    from data_builders.features.features import Features
    from data_builders.retrieval.memory_bank import account_images

    rng = np.random.default_rng(seed)
    options = full.get_config().data.to_dict()
    ids = [f"{number:06d}" for number in range(images)]
    times = 1_500_000_000 + np.sort(rng.integers(0, 2 * DAY * images, images))
    likes = 1 + rng.lognormal(6, 1, images).astype(int)
    listed, _ = account_images("drawn", ids, times.tolist(), likes.tolist(), [[name] for name in ids], options)
    size = rng.uniform(0.1, 0.8, (images, people, 2)) * SIDE
    corner = rng.uniform(0, SIDE - size)
    points = corner[:, :, None] + rng.uniform(0, 1, (images, people, 17, 2)) * size[:, :, None]
    keypoints = np.concatenate([points, rng.uniform(0, 1, (images, people, 17, 1))], axis=-1)
    side = np.full(images, SIDE, np.int32)
    vectors = {name: rng.standard_normal((images, dims)).astype(np.float32) for name, dims in DIMS.items()}
    features = Features(
        keypoints=keypoints.astype(np.float32),
        boxes=np.concatenate([corner, corner + size], axis=-1).astype(np.float32),
        people=rng.integers(0, people + 1, images).astype(np.int32),
        width=side,
        height=side,
        background=np.abs(vectors["background"]),  # as behind a ReLU
        caption=vectors["caption"],
    )
    return Account(listed, features, options)


def prepare(account: Account) -> Ready:
    import numpy as np

    from data_builders.groups import TRAIN

    images, features = account.images, account.features
    sides = [features.rows(images.group >= 0), features.rows(images.split == TRAIN)]

    def unit(vectors: Any) -> Any:
        return vectors.astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)

    return Ready(
        [tuple(unit(getattr(side, name)) for side in sides) for name in DIMS],
        *(_people(side, account.options["pose"]["keypoint_threshold"]) for side in sides),
    )


def _people(features: Any, threshold: float) -> tuple[Any, Any, Any]:
    import numpy as np

    from data_builders.retrieval.pose import SIGMAS

    kept = np.arange(features.keypoints.shape[1]) < features.people[:, None]
    boxes, keypoints = features.boxes[kept].astype(np.float64), features.keypoints[kept]
    xy = (keypoints[..., :2] - (boxes[:, None, :2] + boxes[:, None, 2:]) / 2) / SIDE
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) / SIDE**2
    factor = -1 / (2 * area * (2 * SIGMAS[:, None]) ** 2)
    return np.ascontiguousarray(xy.transpose(1, 2, 0)), (keypoints[..., 2] > threshold).T, factor


def products(ready: Ready) -> None:
    for asked, others in ready.vectors:
        asked @ others.T


def poses(ready: Ready) -> None:
    """Sums exp(-d^2 / (2 A k^2)) over the keypoints that both people show, for all pairs, in blocks of the cache."""
    import numpy as np

    (a, seen_a, factor), (b, seen_b, _) = ready.asked, ready.others
    a, b = np.where(seen_a[:, None], a, -1e3), np.where(seen_b[:, None], b, 1e3)
    step = max(1, (1 << 15) // b.shape[2])
    total, power, other = (np.empty((step, b.shape[2])) for _ in range(3))
    for begin in range(0, a.shape[2], step):
        rows = slice(begin, begin + step)
        size = len(total[: a.shape[2] - begin])
        oks, d2, dy2 = total[:size], power[:size], other[:size]
        oks[:] = 0
        for i in range(len(a)):
            np.subtract(a[i, 0, rows, None], b[i, 0], out=d2)
            np.multiply(d2, d2, out=d2)
            np.subtract(a[i, 1, rows, None], b[i, 1], out=dy2)
            np.multiply(dy2, dy2, out=dy2)
            d2 += dy2
            d2 *= factor[i, rows, None]
            np.maximum(d2, -700.0, out=d2)  # np.exp is slow where it underflows
            oks += np.exp(d2, out=d2)


if __name__ == "__main__":
    main()
