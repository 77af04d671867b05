"""Table 1, "Zhang": UHAN, photo, text and account to log likes (paper: 64.86 %).

At the small sizes the regions' network is trained too: there is no pretrained one for 48 px.
Run: python -m ipa_jax train --config=configs/uhan.py --workdir=runs/uhan --config.data_dir=DATA
     --config.init.swin=swin_base_22k.safetensors (sizes: FILE:demo)
"""

from ml_collections import ConfigDict

from configs import full


def get_config(size: str = "full") -> ConfigDict:
    config = full.get_config(size)  # locked: a field that full.py lacks raises here
    config.model.network = "uhan"
    config.model.retrieval.enabled = config.model.depth.enabled = False
    config.loss.name = "image_log_likes"
    config.batch.update({"by": "groups", "slots": 32, "packs": 4})
    config.optim.update({"weight_decay": 1e-4, "warmup_steps": 0})
    full.parameter_groups(
        config,
        regions=(r"(swin|resnet)/.*", 1e-5, False),
        words=(r"uhan/word/embedding", 1e-3, True),
        rest=(r"uhan/(?!word/).*", 1e-3, False),
    )
    if size != "full":
        config.uhan.update({"width": 64, "head": (64, 64), "words": 24, "image": "train"})
        config.texts.words = 1000
        config.batch.update({"slots": 48, "packs": 1})
        config.optim.warmup_steps = 100 if size == "demo" else 2
        full.same_rate(config, 1.5e-3)
    if size == "tiny":
        config.uhan.update({"width": 8, "head": (8, 8), "words": 8})
    return config
