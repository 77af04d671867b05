"""I2PA (Ding et al.) fine-tuned on our pairs with its own loss (ours, beside Table 1's zero-shot row).

Run: python -m ipa_jax train --config=configs/i2pa_tuned.py --workdir=runs/i2pa_tuned --config.data_dir=DATA
     --config.init.peer=i2pa.safetensors, or --config.i2pa.pixels=imagenet --config.init.resnet=resnet50_v2.safetensors
"""

from ml_collections import ConfigDict

from configs import full


def get_config(size: str = "full") -> ConfigDict:
    config = full.get_config(size)  # locked: a field that full.py lacks raises here
    config.model.network = "i2pa"
    config.model.retrieval.enabled = config.model.depth.enabled = False
    config.loss.name = "bce"
    config.batch.pairs = 32
    full.parameter_groups(
        config,
        decayed=(r"i2pa/.*kernel", 1e-4, True),
        plain=(r"i2pa/(?!.*kernel).*", 1e-4, False),
    )
    if size != "full":
        config.i2pa.update({"stage_sizes": (1, 1, 1), "width": 16})
        full.same_rate(config, 1e-3)
    if size == "tiny":
        config.i2pa.update({"stage_sizes": (1, 1), "width": 4})
    return config
