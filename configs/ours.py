"""The choices that measured best, one level over the paper's reading: the row "ours" of the tables.

So far those of docs/results.md: `ratio_log` is level with `ratio_share` in accuracy (undecided) and ahead in Ratio MSE.
Each choice of docs/choices.md that is ahead of the default by more than its interval belongs here.
Run: python -m ipa_jax.main --config=configs/ours.py --workdir=runs/ours (sizes: FILE:demo)
"""

from ml_collections import ConfigDict

from configs import full


def get_config(size: str = "full") -> ConfigDict:
    config = full.get_config(size)
    config.loss.name = "ratio_log"
    return config
