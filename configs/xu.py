"""Table 1, "Xu": photo and texts, joined by attention, to log likes; without comments.

The paper's row (77.51 %) probably reads comments, which are written after posting: xu_comments.py. At the small sizes
Swin is trained too: there is no pretrained one for 48 px.
Run: python -m ipa_jax train --config=configs/xu.py --workdir=runs/xu --config.data_dir=DATA
     --config.init.swin=swin_base_22k.safetensors (sizes: FILE:demo)
"""

from ml_collections import ConfigDict

from configs import full


def get_config(size: str = "full") -> ConfigDict:
    config = full.get_config(size)  # locked: a field that full.py lacks raises here
    choose(config)
    return config


def choose(config: ConfigDict) -> None:
    """Xu's network and recipe over full.py's defaults."""
    config.model.network = "xu"
    config.model.retrieval.enabled = config.model.depth.enabled = False
    config.loss.name = "image_log_likes"
    config.batch.update({"by": "groups", "slots": 32, "packs": 8})
    config.optim.update({"weight_decay": 1e-4, "warmup_steps": 0})
    full.parameter_groups(
        config,
        swin=(r"swin/.*", 1e-5, False),
        rest_decayed=(r"(?!swin/).*kernel", 1e-3, True),
        rest_plain=(r"(?!swin/)(?!.*kernel).*", 1e-3, False),
    )
    if config.size == "full":
        config.train.epochs = 20.0
        return
    config.xu.update({"image": "train", "words": 24, "word_width": 32, "text_width": 32, "width": 64})
    config.xu.update({"attention_width": 32, "head": (64, 32)})
    config.texts.words = 1000
    config.batch.update({"slots": 48, "packs": 1})
    config.optim.warmup_steps = 100 if config.size == "demo" else 2
    full.same_rate(config, 1.5e-3)
    if config.size == "tiny":
        config.xu.update({"words": 6, "word_width": 4, "text_width": 4, "width": 8, "attention_width": 4})
        config.xu.head = (8, 4)
