"""Table 1, "Xu", with the earliest comments too, which are written after posting (paper: 77.51 %, probably this row).

Run: python -m ipa_jax train --config=configs/xu_comments.py --workdir=runs/xu_comments --config.data_dir=DATA
     --config.init.swin=swin_base_22k.safetensors (sizes: FILE:demo)
"""

from ml_collections import ConfigDict

from configs import full, xu


def get_config(size: str = "full") -> ConfigDict:
    config = full.get_config(size)  # locked: a field that full.py lacks raises here
    xu.choose(config)
    config.xu.fields = ("image", "description", "hashtag", "comment", "caption")
    return config
