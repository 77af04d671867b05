"""Eq. 7 read literally: squared errors of the plain ratios, both ways.

Run: python -m ipa_jax train --config=configs/ratio_raw.py --workdir=runs/ratio_raw (sizes: FILE:demo)
"""

from ml_collections import ConfigDict

from configs import full


def get_config(size: str = "full") -> ConfigDict:
    config = full.get_config(size)
    config.loss.name = "ratio_raw"
    return config
