"""The rows of Tables 1 and 2: which run, on which config, stands beside which figures of the paper."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PEERS = ("nima_tuned", "musiq_tuned", "i2pa_tuned", "uhan", "xu", "xu_comments")  # files of configs/
ZERO_SHOT = ("nima", "musiq", "i2pa")  # scored by their public weights
CONTROL = "shuffled_likes"


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
      name: of its records, and in --configs.
      label: as printed.
      paper: the paper's name of it (paper_results.figures), None for a row that is ours alone.
      config, fields: what is trained; no config for what is not trained here.
      other_resnet: its ResNet starts from the full run of another world.
      note: how it was made, as printed below the table.
    """

    name: str
    label: str
    paper: str | None = None
    config: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    other_resnet: bool = False
    note: str = ""

    def missing(self) -> str | None:
        """Why it cannot be trained here, None where it can."""
        file = ROOT / f"configs/{self.config}.py"
        return None if file.is_file() else f"there is no configs/{self.config}.py"


def _peer(name: str, label: str, paper: str | None = None, note: str = "") -> Row:
    return Row(name, label, paper, name, note=note)


FULL = Row("full", "Ours, as the paper has it", "The paper's model", "full")
ZERO_SHOT_ROWS = (
    Row("zero_shot_nima", "NIMA, public weights", "NIMA",
        note="Public weights are not shipped: third_party_ports/README.md says where each file is and how to convert "
        "it; then --weights=FOLDER."),
    Row("zero_shot_musiq", "MUSIQ, public weights", "MUSIQ"),
    Row("zero_shot_i2pa", "Ding et al. (I2PA), public weights", "Ding et al. (I2PA)",
        note="I2PA's output stands for log likes; the paper prints no Ratio MSE of it, any here is our own."),
)  # fmt: skip
TABLE_1 = (
    *ZERO_SHOT_ROWS,
    _peer("nima_tuned", "NIMA, trained on our data"),
    _peer("musiq_tuned", "MUSIQ, trained on our data"),
    _peer("i2pa_tuned", "Ding et al. (I2PA), trained on our pairs"),
    _peer("uhan", "Zhang et al. (UHAN)", "Zhang et al."),
    _peer("xu", "Xu et al. with Swin, without comments"),
    _peer(
        "xu_comments",
        "Xu et al. with Swin",
        "Xu et al. with Swin-B",
        "The paper's row of Xu et al. reads comments, which are written after posting.",
    ),
    FULL,
    Row("ours", "Ours, by the choices that measured best", config="ours"),
)
TABLE_2 = (
    Row("basic", "Basic", "Basic", "basic"),
    Row("basic_retrieval", "+ Retrieval", "+ Retrieval", "basic_retrieval"),
    FULL,
    Row("concat", "Concatenation", "Concatenation", "concat"),
    Row("log_likes", "Log likes", "Log likes", "log_likes"),
    Row("depth_frozen", "Depth ResNet frozen", None, "full", {"model.depth.resnet": "frozen"}, True,
        "Frozen and cached ResNets are those of the full run of another world; with --data_dir that of init.resnet."),
    Row("depth_cached", "Depth ResNet cached", None, "full", {"model.depth.resnet": "cached"}, True),
)  # fmt: skip
SHUFFLED = Row(CONTROL, "Trained on shuffled likes", None, "full", {"data.shuffle_likes": True}, False,
               "Trained on shuffled likes: the full model where train and validation likes are drawn anew within each "
               "account.")  # fmt: skip
TRAINED = tuple({row.name: row for row in (FULL, *TABLE_2, SHUFFLED, *TABLE_1) if row.config}.values())

# (what is claimed, the row that should be ahead, of which row); the last is ours, the others the paper's.
CLAIMS = (
    ("Retrieval helps", "basic_retrieval", "basic"),
    ("3D helps", "full", "basic_retrieval"),
    ("Aggregation beats concatenation", "full", "concat"),
    ("The pairwise ratio beats log likes", "full", "log_likes"),
    ("The network adds to what retrieval alone gives", "full", "retrieval_only"),
)


def find(name: str) -> Row:
    """The row of a name; a file of configs/ that no table lists is a row of its own."""
    known = {row.name: row for row in TRAINED}
    return known.get(name) or Row(name.replace("/", "-"), f"configs/{name}.py", config=name)
