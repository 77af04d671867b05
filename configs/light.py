"""A network with real weights and no download beyond pip: EfficientNet-Lite2 in the place of Swin-B, without depth.

Not the paper's model: poses and depth are left out, and background and caption come from one small classifier
(docs/your_photos.md says what that changes). The backbone stays as it is;
`--config.model.efficientnet_lite.training=train` fine-tunes it. Sizes: "full", "demo", "tiny", as in full.py.
Run: pip install 'ipa-jax[light]'; ipa-jax extract and build with --config=light; then
     ipa-jax train --config=light --workdir=runs/light --config.data_dir=DATA
"""

from ml_collections import ConfigDict

from configs import full

BACKBONE = "efficientnet_lite/"


def get_config(size: str = "full") -> ConfigDict:
    config = full.get_config(size)  # locked: a field that full.py lacks raises here
    config.extract.profile = "light"
    config.data.similarity.update({"pose": 0.0, "background": 1 / 2, "caption": 1 / 2})
    config.data.depth.side = 0
    config.model.depth.enabled = False
    config.model.backbone = "efficientnet_lite"
    rate = config.optim.groups.rest_decayed.learning_rate
    slow = config.optim.groups.swin_decayed.learning_rate
    full.parameter_groups(
        config,
        backbone_decayed=(rf"{BACKBONE}.*kernel", slow, True),
        backbone_plain=(rf"{BACKBONE}(?!.*kernel).*", slow, False),
        rest_decayed=(rf"(?!{BACKBONE}).*kernel", rate, True),
        rest_plain=(rf"(?!{BACKBONE})(?!.*kernel).*", rate, False),
    )
    if size == "full":
        config.input.update({"resize": 292, "crop": 260})  # the crop that the network was published with
    return config
