"""The paper's figures of a run, for slides and papers: pairs (Figure 1), Top-K (Figure 4), scores (Figure 5).

Photos stand without the names of their accounts and without captions. figures.json says which photos they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data_builders.dataset import GroupDataset
from data_builders.photos import upright
from ipa_jax import drawing
from ipa_jax.drawing import PRINT
from ipa_jax.report.examples import Album, pair_cards, pair_examples, retrieval_cards
from ipa_jax.report.figures import draw_histogram
from ipa_jax.report.runs import Splits, check_images, open_splits
from ipa_jax.training import workdir as workdirs
from third_party_ports import seals

PAIRS, QUERIES = 4, 3  # shown in Figures 1 and 4
SIDE = 480  # pixels of a photo's longer side
RIGHT, WRONG = "#1a7f4b", "#c2372b"  # --ok and --no of the pages


@dataclass(frozen=True)
class Source:
    """What the figures are drawn from.

    Attributes:
      scores: of the split (see metrics/scored_pairs.py), sorted by record and image id.
      split: its name.
      splits: of the data set.
      seed: of what is drawn at random.
    """

    scores: pl.DataFrame
    split: str
    splits: Splits = field(repr=False)
    seed: int

    @property
    def dataset(self) -> GroupDataset:
        """The split."""
        return self.splits[self.split]

    @cached_property
    def album(self) -> Album:
        """The photos. Retrieved ones are in train, or anywhere if the split is by account."""
        return Album(self.splits, sorted(self.splits, key=lambda name: (name != self.split, name != "train")))


def write_figures(
    workdir: Path,
    out: Path,
    *,
    data_dir: str | None = None,
    split: str = "test",
    seed: int = 0,
    only: Sequence[int] = (),
) -> list[Path]:
    """Writes figureN.png and figureN.svg for each N of FIGURES, and figures.json with the photos in them.

    Args:
      workdir: of a finished run.
      out: a folder that exists.
      data_dir: the data set of the run; None for the one that it was trained on.
      split: validation or test.
      seed: of the pairs and queries that are drawn.
      only: numbers of the figures; none for all.
    Returns:
      The files.
    Raises:
      FileNotFoundError: the data set is missing.
      ValueError: a file of the run or of the data set is missing or damaged, or they do not belong together.
    """
    scores = workdirs.read_scores(workdir, split).sort("record", "image_id")
    data_dir = data_dir or workdirs.read_config(workdir)["data_dir"]
    source = Source(scores, split, open_splits(Path(data_dir)), seed)
    check_images(str(workdir), scores, source.dataset, split)
    written, shown = [], {}
    for number in only or FIGURES:
        shown[f"figure{number}"], draw, size = FIGURES[number](source)
        written += drawing.save(draw, out / f"figure{number}", *size)
    about = {"workdir": str(workdir), "data_dir": str(data_dir), "split": split, "seed": seed}
    seals.write_json(out / "figures.json", about | {"figures": shown})
    return [*written, out / "figures.json"]


# What a figure shows, how it is drawn, and its width and height in inches.
Made = tuple[dict[str, Any], Callable[[Figure], None], tuple[float, float]]


def pairs(source: Source) -> Made:
    """Figure 1: valid pairs of different accounts, drawn at random, the photo with more likes on the left."""
    scores = source.scores
    chosen = pair_examples(scores, source.dataset.options["pairs"]["min_ratio"], PAIRS, source.seed, ("any",))["any"]
    if not chosen:
        raise ValueError(f"the {source.split} split has no valid pair to show (--split)")
    cards = pair_cards(chosen, {"run": scores}, source.album)
    rows = -(-len(cards) // 2)

    def draw(figure: Figure) -> None:
        panels = np.ravel(figure.subfigures(rows, 2, wspace=0.06, hspace=0.04, squeeze=False))
        for panel, card in zip(panels, cards, strict=False):
            for axes, side in zip(panel.subplots(1, 2), card["sides"], strict=True):
                _photo(axes, side, f"{side['likes']:,} likes\nscore {_score(side['z'])}")
            right = card["verdicts"][0]["right"]
            mark, colour = ("✓", RIGHT) if right else ("✗", WRONG)
            text = f"likes {card['true_ratio']:.1f} : 1, scores {card['predicted_ratio']:.2f} : 1 {mark}"
            panel.suptitle(text, color=colour, fontweight="bold", fontsize=8)

    shown = {"pairs": [[_named(side) | {"z": side["z"]} for side in card["sides"]] for card in cards]}
    return shown, draw, (drawing.TEXT, 2.2 * rows)


def retrieved(source: Source) -> Made:
    """Figure 4: photos of different accounts, drawn at random, each with its Top-K, similarities and local scores."""
    cards = retrieval_cards(source.scores, source.dataset, source.album, QUERIES, source.seed)
    cards = [card for card in cards if card["retrieved"]]
    if not cards:
        raise ValueError(f"no image of the {source.split} split retrieved anything: leave Figure 4 out by --only")
    k = source.dataset.options["retrieval"]["k"]
    cell = drawing.TEXT / (k + 1.2)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(len(cards), k + 2, squeeze=False, width_ratios=[1, 0.12, *[1] * k])
        for row, card in zip(grid, cards, strict=True):
            _photo(row[0], card["query"], f"{card['query']['likes']:,} likes")
            row[1].set_axis_off()
            for axes in row[2 + len(card["retrieved"]) :]:
                axes.set_axis_off()
            for axes, found in zip(row[2:], card["retrieved"], strict=False):
                _photo(axes, found, f"S {found['similarity']:.2f}\nlocal {found['local_score']:.2f}")
        grid[0][0].set_title("query", loc="left")
        grid[0][2].set_title("retrieved, most similar first", loc="left")

    shown = {
        "queries": [
            {
                "query": _named(card["query"]),
                "retrieved": [
                    _named(found) | {name: found[name] for name in ("similarity", "parts", "local_score")}
                    for found in card["retrieved"]
                ],
            }
            for card in cards
        ]
    }
    return shown, draw, (drawing.TEXT, 0.35 + len(cards) * (cell + 0.32))


def histogram(source: Source) -> Made:
    """Figure 5: how the scores of all images of the split are distributed."""
    z = source.scores["z"].to_numpy()

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        draw_histogram(axes, [z], PRINT)
        axes.set_ylabel(f"share of {len(z):,} photos")

    return {"images": len(z)}, draw, (drawing.COLUMN, 2.1)


FIGURES: dict[int, Callable[[Source], Made]] = {1: pairs, 4: retrieved, 5: histogram}


def _photo(axes: Axes, photo: Mapping[str, Any], text: str) -> None:
    """A photo on axes without lines, a text below it."""
    image = upright(photo["content"], near=SIDE)
    image.thumbnail((SIDE, SIDE))
    axes.imshow(np.asarray(image), interpolation="antialiased")
    axes.set_anchor("S")
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(text, labelpad=3)


def _score(z: float) -> str:
    """s = exp(z) as it is printed."""
    s = float(np.exp(z))
    return f"{s:.2f}" if 0.1 <= s < 1000 else f"{s:.2g}"


def _named(photo: Mapping[str, Any]) -> dict[str, Any]:
    return {name: photo[name] for name in ("account", "image_id", "likes")}
