"""MUSIQ fine-tuned on our pairs, one new output (ours, beside Table 1's zero-shot row).

Run: python -m ipa_jax train --config=configs/musiq_tuned.py --workdir=runs/musiq_tuned --config.data_dir=DATA
     --config.init.peer=musiq_ava.safetensors (sizes: FILE:demo)
"""

from ml_collections import ConfigDict

from configs import full


def get_config(size: str = "full") -> ConfigDict:
    config = full.get_config(size)  # locked: a field that full.py lacks raises here
    config.model.network = "musiq"
    config.model.retrieval.enabled = config.model.depth.enabled = False
    full.parameter_groups(
        config,
        decayed=(r"musiq/.*kernel", 1e-5, True),
        plain=(r"musiq/(?!.*kernel).*", 1e-5, False),
    )
    config.eval.images = 8  # of 1655 tokens
    if size != "full":
        config.musiq.update({"width": 64, "layers": 2, "heads": 4, "hidden": 128, "stem": 8, "groups": 4, "patch": 16})
        config.musiq.update({"longer_sides": (32, 64), "train_tokens": 6, "score_tokens": 9})  # 48 px: 9 of its own
        config.eval.images = 96
        full.same_rate(config, 1e-3)
    if size == "tiny":
        config.musiq.update({"width": 16, "layers": 1, "heads": 2, "hidden": 16, "stem": 4, "groups": 2})
    return config
