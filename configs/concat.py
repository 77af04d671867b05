"""Table 2, "Concatenation": pooled features into an MLP head in place of the encoder (paper: 68.97 %).

Run: python -m ipa_jax train --config=configs/concat.py --workdir=runs/concat (sizes: FILE:demo)
"""

from ml_collections import ConfigDict

from configs import full


def get_config(size: str = "full") -> ConfigDict:
    config = full.get_config(size)  # locked: a field that full.py lacks raises here
    config.model.fusion = "concat"
    return config
