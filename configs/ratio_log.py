"""Eq. 7 read as the squared error of the log2 ratio: training on Ratio MSE itself.

Run: python -m ipa_jax train --config=configs/ratio_log.py --workdir=runs/ratio_log (sizes: FILE:demo)
"""

from ml_collections import ConfigDict

from configs import full


def get_config(size: str = "full") -> ConfigDict:
    config = full.get_config(size)
    config.loss.name = "ratio_log"
    return config
