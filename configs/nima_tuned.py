"""NIMA fine-tuned on likes: votes for the quantile of an image's likes in its account (ours, beside the zero-shot row).

Run: python -m ipa_jax train --config=configs/nima_tuned.py --workdir=runs/nima_tuned --config.data_dir=DATA
     --config.init.peer=nima_aesthetic.safetensors (sizes: FILE:demo); --config.loss.name=ratio_share trains on pairs
"""

from ml_collections import ConfigDict

from configs import full


def get_config(size: str = "full") -> ConfigDict:
    config = full.get_config(size)  # locked: a field that full.py lacks raises here
    config.model.network = "nima"
    config.model.retrieval.enabled = config.model.depth.enabled = False
    config.loss.name = "emd_squared"
    config.batch.update({"by": "groups", "slots": 32, "packs": 3})
    full.parameter_groups(
        config,
        base_decayed=(r"nima/(?!dense/).*kernel", 3e-5, True),
        base_plain=(r"nima/(?!dense/)(?!.*kernel).*", 3e-5, False),
        head=(r"nima/dense/.*", 1e-3, False),
    )
    if size != "full":
        config.nima.update({"stem": 16, "blocks": ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1)), "dropout": 0.2})
        config.batch.update({"slots": 48, "packs": 1})
        full.same_rate(config, 1.5e-3)
    if size == "tiny":
        config.nima.update({"stem": 4, "blocks": ((8, 1), (16, 2))})
    return config
