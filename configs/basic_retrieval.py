"""Table 2, "+ Retrieval": basic plus the memory-bank branch (paper: 79.12 %).

Run: python -m ipa_jax train --config=configs/basic_retrieval.py --workdir=runs/basic_retrieval (sizes: FILE:demo)
"""

from ml_collections import ConfigDict

from configs import full


def get_config(size: str = "full") -> ConfigDict:
    config = full.get_config(size)  # locked: a field that full.py lacks raises here
    config.model.depth.enabled = False
    return config
