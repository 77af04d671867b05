"""The rows of Tables 1 and 2: which run is compared with which figures of the paper, and which rows can be trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_builders.cli import shipped_configs
from data_builders.features.weight_files import weights_path
from data_builders.options import differences
from ipa_jax.experiments.flags import UsageError
from ipa_jax.experiments.study import FULL, NOT_ASKED, Row, Study
from ipa_jax.peers.zero_shot import NAMES
from ipa_jax.training.preflight import PreflightError, check_data, check_weights

CONTROL = "shuffled_likes"


@dataclass(frozen=True)
class TableRow(Row):
    """A row of Table 1 or 2.

    Attributes:
      paper: the paper's name of the row (paper.figures); None for a row that the paper does not have.
      note: how the row was made; it is printed below the table.
    """

    paper: str | None = None
    note: str = ""


FULL_ROW = TableRow(FULL, "Ours, as in the paper", paper="The paper's model")
ZERO_SHOT = (  # scored with published weights, not trained
    TableRow("zero_shot_nima", "NIMA, public weights", "", paper="NIMA", note="Public weights are not shipped: "
             "third_party_ports/README.md says where to get each file and how to convert it; pass the folder as "
             "--weights."),
    TableRow("zero_shot_musiq", "MUSIQ, public weights", "", paper="MUSIQ"),
    TableRow("zero_shot_i2pa", "Ding et al. (I2PA), public weights", "", paper="Ding et al. (I2PA)",
             note="I2PA's output stands for log likes. The paper prints no Ratio MSE for it; any figure here is ours."),
)  # fmt: skip
TABLE_1 = (
    *ZERO_SHOT,
    TableRow("nima_tuned", "NIMA, trained on our data", "nima_tuned"),
    TableRow("musiq_tuned", "MUSIQ, trained on our data", "musiq_tuned"),
    TableRow("i2pa_tuned", "Ding et al. (I2PA), trained on our pairs", "i2pa_tuned"),
    TableRow("uhan", "Zhang et al. (UHAN)", "uhan", paper="Zhang et al."),
    TableRow("xu", "Xu et al. with Swin, without comments", "xu"),
    TableRow("xu_comments", "Xu et al. with Swin", "xu_comments", paper="Xu et al. with Swin-B",
             note="The paper's row of Xu et al. reads comments, which are written after posting."),
    FULL_ROW,
    TableRow("ours", "Ours, with the options that measured best", "ours"),
)  # fmt: skip
TABLE_2 = (
    TableRow("basic", "Basic", "basic", paper="Basic"),
    TableRow("basic_retrieval", "+ Retrieval", "basic_retrieval", paper="+ Retrieval"),
    FULL_ROW,
    TableRow("concat", "Concatenation", "concat", paper="Concatenation"),
    TableRow("log_likes", "Log likes", "log_likes", paper="Log likes"),
    TableRow("depth_frozen", "Depth ResNet frozen", fields={"model.depth.resnet": "frozen"}, other_resnet=True,
             note="Frozen and cached ResNets come from the full model of another world, or from init.resnet with "
             "--data_dir."),
    TableRow("depth_cached", "Depth ResNet cached", fields={"model.depth.resnet": "cached"}, other_resnet=True),
)  # fmt: skip
SHUFFLED = TableRow(CONTROL, "Trained on shuffled likes", fields={"data.shuffle_likes": True},
                    note="Trained on shuffled likes: the full model, with each account's likes shuffled within train "
                    "and within validation.")  # fmt: skip
TRAINED = tuple({row.name: row for row in (FULL_ROW, *TABLE_2, SHUFFLED, *TABLE_1) if row.config}.values())

# (the claim, the row that should be ahead, of which row); the last claim is ours, the others are the paper's.
CLAIMS = (
    ("Retrieval helps", "basic_retrieval", "basic"),
    ("3D helps", "full", "basic_retrieval"),
    ("Aggregation beats concatenation", "full", "concat"),
    ("The pairwise ratio beats log likes", "full", "log_likes"),
    ("The network adds to what retrieval alone gives", "full", "retrieval_only"),
)


def find(name: str) -> TableRow:
    """The row of a name. A shipped config that no table lists gets a row of its own. Raises UsageError."""
    known = {row.name: row for row in TRAINED}
    if name in known:
        return known[name]
    if name not in shipped_configs():
        raise UsageError(f"--configs: no row or config {name!r}; the rows are {', '.join(known)}")
    return TableRow(name, f"configs/{name}.py", name)


def own_weights(row: TableRow, fields: Mapping[str, Any], size: str, weights: Path | None) -> TableRow:
    """The row. A peer that is trained at full size starts from its own public weights, if the folder has them."""
    name = row.config.removesuffix("_tuned")
    if size != "full" or not weights or name not in NAMES or "init.peer" in fields:
        return row
    file = weights_path(str(weights), NAMES[name])
    return replace(row, fields={**row.fields, "init.peer": str(file)}) if file.is_file() else row


def unfit(row: TableRow, study: Study, fields: Mapping[str, Any], data_dir: Path | None) -> str | None:
    """Why a row cannot be trained with this data and these weights; None if it can.

    Args:
      row: the row.
      study: where and how large.
      fields: config fields of every run (--set).
      data_dir: the built data set, if there is one.
    """
    if data_dir and row.other_resnet and not fields.get("init.resnet"):
        return "needs --set init.resnet=FILE"
    config, full = (study.runs_of([each], fields)[0].resolved for each in (row, FULL_ROW))
    if data_dir and (other := differences(full.data.to_dict(), config.data.to_dict(), "data")):
        return f"needs a data set built with {', '.join(name for name, _, _ in other)}"
    try:
        check_weights(config)
    except PreflightError as error:
        return str(error)
    return None


def require_data(study: Study, fields: Mapping[str, Any], data_dir: Path) -> None:
    """Raises ValueError if the full model, and so every row, cannot be trained on --data_dir. Arguments as `unfit`."""
    config = study.runs_of([FULL_ROW], fields)[0].resolved.copy_and_resolve_references()
    config.data_dir = str(data_dir)
    try:
        check_data(config)
    except PreflightError as error:
        raise ValueError(f"--data_dir, --size={study.size}: {error} (set a field with --set FIELD=VALUE)") from error


def choose(
    names: Sequence[str] | None, study: Study, fields: Mapping[str, Any], data_dir: Path | None = None
) -> tuple[list[TableRow], dict[str, str]]:
    """The rows to train, the full model first, and why other rows are not trained.

    Args:
      names: of --configs; None for every row.
      study, fields, data_dir: as in `unfit`.
    Returns:
      The rows, and name -> reason for each further row of the tables.
    Raises:
      UsageError: a name is neither a row nor a config.
      ValueError: the full model cannot be trained. Every other row is compared with it.
    """
    rows = list(TRAINED) if names is None else [find(name) for name in names]
    rows = list({row.name: row for row in (FULL_ROW, *rows)}.values())
    reasons = {row.name: NOT_ASKED for row in TRAINED if row not in rows}
    for row in rows:
        if reason := unfit(row, study, fields, data_dir):
            if row is FULL_ROW:
                raise ValueError(f"{row.name}: {reason} (set a field with --set init.NAME=FILE)")
            print(f"left out: {row.name} ({reason})")
            reasons[row.name] = reason
    return [row for row in rows if row.name not in reasons], reasons
