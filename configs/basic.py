"""Table 2, "Basic": the backbone and the aggregation encoder alone (paper: 78.64 %).

Run: python -m ipa_jax train --config=configs/basic.py --workdir=runs/basic (sizes: FILE:demo)
"""

from ml_collections import ConfigDict

from configs import full


def get_config(size: str = "full") -> ConfigDict:
    config = full.get_config(size)  # locked: a field that full.py lacks raises here
    config.model.retrieval.enabled = False
    config.model.depth.enabled = False
    return config
