"""Table 2, "log likes": regression of log likes in place of the pairwise ratio (paper: 68.73 %).

Run: python -m ipa_jax train --config=configs/log_likes.py --workdir=runs/log_likes (sizes: FILE:demo)
"""

from ml_collections import ConfigDict

from configs import full


def get_config(size: str = "full") -> ConfigDict:
    config = full.get_config(size)  # locked: a field that full.py lacks raises here
    config.loss.name = "log_likes"
    return config
