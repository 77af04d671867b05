"""A data set and workdirs as the report meets them, made up: the GroupDataset's interface without its files."""

import io
import json
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image, ImageDraw

from configs import full
from ipa_jax.metrics import score_files, split_metrics
from third_party_ports import seals

CAPTION = 'Coffee <script>alert(1)</script> & "cake"'


def draw_photo(rng: np.random.Generator, side: int) -> bytes:
    sky, ground, shape = (tuple(int(v) for v in rng.integers(40, 230, 3)) for _ in range(3))
    image = Image.new("RGB", (side, side), sky)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, int(side * 0.6), side, side), fill=ground)
    x, r = int(rng.integers(side // 4, 3 * side // 4)), side // int(rng.integers(4, 8))
    pen.ellipse((x - r, side // 2 - r, x + r, side // 2 + r), fill=shape)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()


class StandIn:
    """One split: groups of made-up photos whose retrieved images are photos of `bank` (the train split)."""

    def __init__(self, name: str, accounts: list[str], groups: int, side: int, bank: "StandIn | None" = None):
        rng = np.random.default_rng(len(name))
        self.options = full.get_config("demo").data.to_dict()
        self.info = {"random_weights": False, "build_report": "/nowhere/build_report.json"}
        self.truth: list[float] = []
        self._examples, rows, k = [], [], self.options["retrieval"]["k"]
        for record in range(groups):
            account, n = accounts[record % len(accounts)], int(rng.integers(2, 9))
            quality = rng.normal(0, 0.6, n)
            likes = np.round(np.exp(7 + quality + rng.normal(0, 0.3, n))).astype(np.int64) + 1
            likes[0] = 3 * likes[1]  # every kept group has a valid pair
            ids = [f"{name}-{record}-{i}" for i in range(n)]
            found = bank.of(account) if bank else []
            slots = min(k, len(found)) if record % 7 else min(2, len(found))
            retrieved = [rng.permutation(found)[:slots].tolist() + [""] * (k - slots) for _ in range(n)]
            parts = np.sort(rng.uniform(0.2, 1, (n, k, 3)), axis=1)[:, ::-1]
            mask = np.tile(np.arange(k) < slots, (n, 1))
            self._examples.append(
                {
                    "account": account,
                    "image_ids": ids,
                    "post_ids": ids,
                    "likes": likes,
                    "times": 1_500_000_000 + 86_400 * (np.arange(n) + 9 * record),
                    "captions": [CAPTION] * n,
                    "images": [draw_photo(rng, side) for _ in range(n)],
                    "retrieved_ids": [i for image in retrieved for i in image],
                    "mask": mask,
                    "similarity": np.concatenate([parts.mean(-1, keepdims=True), parts], -1) * mask[..., None],
                    "local_score": rng.lognormal(0, 0.4, (n, k)) * mask,
                    "count": rng.integers(3, 30, (n, k)) * mask,
                }
            )
            self.truth += (quality + np.log(likes[0] / likes[1]) * (np.arange(n) == 0)).tolist()
            rows += [
                {
                    "record": record,
                    "position": i,
                    "account": account,
                    "image_id": ids[i],
                    "post_id": ids[i],
                    "likes": int(likes[i]),
                }
                for i in range(n)
            ]
        self.images = pl.DataFrame(rows)

    def of(self, account: str) -> list[str]:
        return self.images.filter(pl.col("account") == account)["image_id"].to_list()

    def get(self, records) -> list[dict]:
        return [self._examples[record] for record in records]


def splits(accounts: list[str], groups: int, side: int = 32) -> dict[str, StandIn]:
    train = StandIn("train", accounts, 2 * groups, side)
    return {
        "train": train,
        "validation": StandIn("validation", accounts, groups, side, train),
        "test": StandIn("test", accounts, groups, side, train),
    }


def write_workdir(folder: Path, data: dict[str, StandIn], noise: float, seed: int, config: str = "demo") -> Path:
    """A finished run whose z are the true quality with noise."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    results = {
        "config": config,
        "seconds": 123.4,
        "steps": 1100,
        "best_step": 1000,
        "parameters": 157_000,
        "init": "random",
    }
    for name in ("validation", "test"):
        z = np.array(data[name].truth) + rng.normal(0, noise, data[name].images.height)
        scores = data[name].images.select("account", "record", "image_id", "post_id", "likes", z=pl.Series(z))
        score_files.save(scores, folder / f"scores-{name}.parquet")
        results[name] = split_metrics.evaluate(scores, 2, factor=1.1, draws=50)
    seals.write_json(folder / "results.json", results)
    seals.write_json(folder / "config.json", full.get_config("demo").to_dict())
    lines = [{"hparams": {"seed": 0}}]
    for step in range(50, 1101, 50):
        fit = 1 - np.exp(-step / 300)
        lines.append(
            {
                "step": step,
                "time": 0.0,
                "scalars": {
                    "train/loss": 0.3 - 0.2 * fit + rng.normal(0, 0.01),
                    "train/accuracy": 0.5 + 0.42 * fit,
                    "train/images_per_second": 530 + rng.normal(0, 10),
                },
            }
        )
        if step % 250 == 0:
            lines.append(
                {
                    "step": step,
                    "time": 0.0,
                    "scalars": {
                        "validation/accuracy": 0.5 + (0.38 - 0.3 * noise / 2) * fit,
                        "validation/ratio_mse": 2 - fit,
                    },
                }
            )
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
