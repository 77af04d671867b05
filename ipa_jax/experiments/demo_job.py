"""The steps of `demo`: draw a world, build a data set, train, evaluate, export, and report.

Each step is a command that is printed as it runs, so you can run it by hand. A finished step is kept.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from data_builders.dataset import GroupDataset
from ipa_jax.baselines import scores as baselines
from ipa_jax.experiments.commands import StageError, command
from ipa_jax.experiments.pages import interval, line, number
from ipa_jax.experiments.study import FULL
from ipa_jax.leakage import checklist
from ipa_jax.metrics import split_metrics
from ipa_jax.metrics.scored_pairs import pool
from ipa_jax.report.page import write_report
from ipa_jax.training import workdir as workdirs

FIGURES = ("accuracy", "accuracy_interval", "plcc", "srcc", "ratio_mse", "pairs", "groups", "interval_over")
CHECKED = ("accuracy", "plcc", "srcc", "ratio_mse")  # an export must reproduce these
DIFFERENCES = (("full", "basic_retrieval"), ("basic_retrieval", "basic"), ("full", "retrieval_only"))


@dataclass(frozen=True)
class Demo:
    """What to make, and where.

    Attributes:
      out: folder of all that is made. With several seeds, each seed has a folder in it.
      seeds: for each seed, one demo world and one training run of every config.
      configs: names of shipped configs.
      accounts, posts: the size of a world: accounts, and posts of each account.
      size: size of the models.
    """

    out: Path
    seeds: Sequence[int]
    configs: Sequence[str]
    accounts: int
    posts: int
    size: str

    @property
    def folders(self) -> dict[str, Path]:
        """Name of a world -> its folder."""
        alone = len(self.seeds) == 1
        return {f"seed{seed}": self.out if alone else self.out / f"seed{seed}" for seed in self.seeds}

    @property
    def lead(self) -> str:
        """The config that leads the report: the full model if it was trained, else the first."""
        return FULL if FULL in self.configs else self.configs[0]


def make_worlds(demo: Demo) -> None:
    """Draws and builds each world, and trains, evaluates and exports each config on it. Raises StageError."""
    models, done = len(demo.seeds) * len(demo.configs), 0
    print(f"{len(demo.seeds)} world(s), {models} model(s). You can stop at any time: the same command resumes.")
    for seed, folder in zip(demo.seeds, demo.folders.values(), strict=True):
        world, data = folder / "world", folder / "data"
        size = [f"--accounts={demo.accounts}", f"--posts={demo.posts}", "--side=48", f"--seed={seed}"]
        command("demo-world", f"--out={world}", *size)
        command("build", f"--config={FULL}:{demo.size}", f"--raw={world}/raw", f"--features={world}/features",
                f"--data_dir={data}")  # fmt: skip
        for name in demo.configs:
            command("train", f"--config={name}:{demo.size}", f"--workdir={folder}/{name}",
                    f"--config.data_dir={data}", f"--config.seed={seed}")  # fmt: skip
            done += 1
            print(f"{done} of {models} models done, {models - done} left", flush=True)


def check_export(workdir: Path) -> None:
    """Raises StageError if the export of a run gives other metrics in a new process than the run's results.json."""
    printed = command("evaluate", f"--export={workdir}/export", "--split=test", "--json", capture=True)
    fresh, stored = json.loads(printed), workdirs.read_results(workdir)["test"]
    if any(abs(fresh[figure] - stored[figure]) > 1e-5 for figure in CHECKED):
        raise StageError(
            f"{workdir}/export gives other metrics than results.json there; delete {workdir} to train again"
        )
    print(f"  the same metrics as in training: accuracy {fresh['accuracy']:.4f}")


def pooled_results(demo: Demo) -> dict[str, Any]:
    """The figures of each config and baseline over the pooled test groups of all worlds, and differences in accuracy.

    Returns:
      "runs": config -> {"test": figures}; "yardsticks": baseline -> accuracy; "yardstick_figures": baseline -> figures;
      "differences": "OURS - THEIRS" -> {"difference", "interval", "standard_error"}.
    """
    seed = demo.seeds[0]
    scored: dict[str, dict[str, pl.DataFrame]] = {}
    for world, folder in demo.folders.items():
        train, test = (GroupDataset(folder / "data", split, depth=False) for split in ("train", "test"))
        ratio = test.options["pairs"]["min_ratio"]
        for name, scores in baselines.all_scores(test, train, folder / "world", seed=seed).items():
            scored.setdefault(name, {})[world] = scores
    trained = {
        name: {world: workdirs.read_scores(folder / name, "test") for world, folder in demo.folders.items()}
        for name in demo.configs
    }
    runs, references = ({name: pool(worlds) for name, worlds in kind.items()} for kind in (trained, scored))

    def figures(scores: pl.DataFrame) -> dict[str, Any]:
        result = split_metrics.evaluate(scores, ratio, seed=seed)
        return {name: result[name] for name in FIGURES}

    tables, differences = runs | references, {}
    for ours, theirs in DIFFERENCES:
        if ours in tables and theirs in tables:
            found = split_metrics.paired_difference(tables[ours], tables[theirs], ratio, seed=seed)
            differences[f"{ours} - {theirs}"] = found["accuracy"]
    judged = {name: figures(scores) for name, scores in references.items()}
    return {
        "runs": {name: {"test": figures(scores)} for name, scores in runs.items()},
        "yardsticks": {name: found["accuracy"] for name, found in judged.items()},
        "yardstick_figures": judged,
        "differences": differences,
    }


def table(results: Mapping[str, Any]) -> str:
    """The results as a table in Markdown: models and baselines, and differences in accuracy.

    "gap to Bayes closed" is the share of the way from 50 % to the accuracy of `bayes`.

    Args:
      results: as pooled_results returns them.
    """
    bayes = results["yardsticks"]["bayes"]
    lines = ["| | accuracy % | 95 % interval | gap to Bayes closed % | PLCC | SRCC | Ratio MSE |",
             "|---|---:|:---:|---:|---:|---:|---:|"]  # fmt: skip
    rows = {f"**{name}**": run["test"] for name, run in results["runs"].items()} | results["yardstick_figures"]
    for name, row in rows.items():
        accuracy, bounds = number(row["accuracy"], "accuracy"), interval(row["accuracy_interval"], "accuracy")
        closed = f"{100 * (row['accuracy'] - 0.5) / (bayes - 0.5):.0f}"
        others = [number(row[metric], metric) for metric in ("plcc", "srcc", "ratio_mse")]
        lines.append(line([name, accuracy, bounds, closed, *others]))
    one = next(iter(rows.values()))
    lines.append(f"\n{one['pairs']} test pairs of {one['groups']} groups; intervals over {one['interval_over']}.")
    for name, found in results["differences"].items():
        low, high = (100 * x for x in found["interval"])
        lines.append(f"{name}: {100 * found['difference']:+.1f} points (95 % {low:+.1f} to {high:+.1f}).")
    return "\n".join(lines)


def report(demo: Demo, results: Mapping[str, Any]) -> Path:
    """Writes the report of a single world with its leakage checklist; returns the page."""
    page, data, workdir = demo.out / "report.html", demo.out / "data", demo.out / demo.lead
    workdirs = {name: demo.out / name for name in (demo.lead, *demo.configs)}
    lines = checklist.make(data, workdir)
    checklist.show(lines, f"Leakage checklist of {data} and {workdir}")
    write_report(page, workdirs, data, results["yardstick_figures"], checklist.as_json(lines))
    return page
