"""The paper's model: Swin-B, retrieval, five depth masks, aggregation encoder, ratio loss. Every default lives here.

Table 1, "Ours" (79.48 % pairwise accuracy, PLCC 0.4052, SRCC 0.3871, Ratio MSE 1.1388; 30 h on four 2080 Ti).
Run: python -m ipa_jax train --config=configs/full.py --workdir=runs/full --config.data_dir=DATA
     --config.init.swin=swin_base_22k.safetensors --config.init.resnet=resnet50_v2.safetensors

`get_config(size)` knows three sizes: "full" (the paper), "demo" (48 px, two CPU cores), "tiny" (tests).
What each choice means and why is in docs/method.md, field by field.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config(size: str = "full") -> ConfigDict:
    """The locked config of one size. Raises ValueError for a size that is not full, demo or tiny."""
    config = ConfigDict()
    config.seed = 0
    config.size = size
    config.data_dir = placeholder(str)  # what `python -m ipa_jax build` wrote
    config.allow_random_features = False  # train on a store that was made with random extractor weights
    config.allow_leak = False  # train under data.memory.exclude = "none", where a query's own likes reach it
    for section in (
        _data,
        _extract,
        _extract_caption,
        _init,
        _model,
        _text_peers,
        _photo_peers,
        _input,
        _optim,
        _train,
    ):
        section(config)
    if size != "full":
        _shrink(config, size)
    config.lock()
    return config


def _data(config: ConfigDict) -> None:
    """What acts at build time. It is stored with the data set; training compares, and names the field that differs."""
    config.data = ConfigDict()
    config.data.top_n = 3000  # accounts with the most followers
    config.data.posts = ConfigDict(
        {
            "carousel": "first",  # first | skip | all
            "min_age_days": 0.0,
            "drop_constant_likes": False,  # leave posts out whose like count stands for hidden likes, such as 3
        }
    )
    config.data.groups = ConfigDict({"window_days": 7.0, "min_images": 2, "max_images": 30})
    config.data.pairs = ConfigDict({"min_ratio": 2.0})  # valid: max likes > min_ratio * min likes (eq. 8)
    config.data.split = ConfigDict({"by": "group", "seed": 0})  # group | account
    config.data.memory = ConfigDict(
        {
            "exclude": "group",  # group | post | none: what a train query may not see of its own
            "past_only": False,
            "min_lag_days": 7.0,
            "window_days": 30.0,  # X of eq. 2
            "mean_includes_retrieved": True,
            "max_posts": -1,  # the newest posts of what a query may see; -1: all
            "fallback": "none",  # none | cross_account: similar images of others fill free slots,
            "fallback_below": 5,  # where a query sees fewer posts than this
        }
    )
    config.data.similarity = ConfigDict({"pose": 1 / 3, "background": 1 / 3, "caption": 1 / 3})  # eq. 1
    config.data.retrieval = ConfigDict({"k": 5})
    config.data.pose = ConfigDict({"keypoint_threshold": 0.05})
    config.data.depth = ConfigDict({"side": 128})
    config.data.image = ConfigDict({"max_side": 0})  # 0: bytes as stored; else longer images are re-encoded
    config.data.duplicates = ConfigDict({"max_bits": 4})  # 64-bit pHash distance of a near-duplicate
    config.data.shuffle_likes = False  # a control: train and validation likes drawn anew within each account


def _extract(config: ConfigDict) -> None:
    """What `python -m ipa_jax extract` runs, and how.

    `fields`: a network's sizes where they are not the official ones, which only works with random weights.
    """
    config.extract = ConfigDict(
        {
            "profile": "paper",  # paper | light (EfficientNet-Lite: background and caption in one quick pass)
            "weights": "weights",  # folder of converted files, NAME.safetensors
            "dtype": "float32",  # float32 | bfloat16
            "batch": 8,  # images a device runs at once
            "workers": -1,  # reading processes; 0 reads in threads, -1 is one for each core but one (16 at most)
            "shard_rows": 1024,
        }
    )
    config.extract.pose = ConfigDict(
        {
            "network": "dekr_w32",  # dekr_w32 (side 512) | dekr_w48 (side 640)
            "side": 512,  # px, of the canvas's shorter side
            "scales": (1.0,),  # must hold 1; (0.5, 1.0, 2.0) is the authors' multi-scale test
            "mirror": True,  # averages with the mirrored canvas, at twice the cost
            "refine": False,  # match_hmp: fits each keypoint's peak
            "rescore": False,  # multiplies a person's score by the scoring net's output (dekr_rescore)
            "person_score": 0.1,  # people below are not stored
            "max_aspect": 4.0,  # longer images are stored without people
            "fields": ConfigDict(),
        }
    )
    config.extract.background = ConfigDict({"network": "deeplabv3_resnet101", "side": 520, "fields": ConfigDict()})
    config.extract.depth = ConfigDict(
        {
            "network": "adabins_nyu",  # adabins_nyu | adabins_kitti
            "size": (480, 640),  # px, height and width that every image is squeezed to
            "mirror": True,  # averages with the mirrored image, at twice the cost
            "fields": ConfigDict(),
        }
    )
    config.extract.light = ConfigDict({"network": "efficientnet_lite2", "side": 260, "fields": ConfigDict()})


def _extract_caption(config: ConfigDict) -> None:
    """The caption extractor: the detector of regions, and the captioner that reads them."""
    config.extract.caption = ConfigDict(
        {
            "detector": "bottom_up_r101",  # bottom_up_r101 | bottom_up_r101_k36 (then min_boxes = max_boxes = 36)
            "short_side": 600,  # px, of the detector's input,
            "long_side": 1000,  # unless the longer one would exceed this
            "min_boxes": 10,
            "max_boxes": 100,
            "captioner": "m2_transformer",
            "regions": 50,  # the captioner was trained with
            "text": True,  # writes the caption too, for people to read
            "beam": 5,
            "words": 20,
            "detector_fields": ConfigDict(),
            "captioner_fields": ConfigDict(),
        }
    )


def _init(config: ConfigDict) -> None:
    """What the networks start from."""
    config.init = ConfigDict()
    config.init.swin = placeholder(str)  # converted ImageNet-22K Swin-B, .safetensors
    config.init.resnet = placeholder(str)  # converted ImageNet ResNet50, .safetensors
    config.init.efficientnet_lite = placeholder(str)  # converted EfficientNet-Lite; unset: that of the extra `light`
    config.init.export = placeholder(str)  # export/ of a run of the same network, which gives every parameter
    config.init.peer = placeholder(str)  # converted file of nima, musiq or i2pa itself, .safetensors
    config.init.words = placeholder(str)  # word vectors as text (GloVe, fastText's .vec) for xu's word table
    config.init.random = False  # allow a random start; the export's card says so


def _model(config: ConfigDict) -> None:
    """The paper's network (section 3), and which network and loss are trained."""
    config.model = ConfigDict()
    config.model.network = "popularity"  # popularity (the paper's) | nima | musiq | i2pa | uhan | xu: the peers
    config.model.backbone = "swin"  # swin (the paper's) | efficientnet_lite
    config.model.dtype = "bfloat16"  # of the computation in training: bfloat16 | float16 (the loss is scaled) | float32
    config.model.swin = ConfigDict(
        {
            "patch": 4,
            "width": 128,
            "depths": (2, 2, 18, 2),
            "heads": (4, 8, 16, 32),
            "window": 7,
            "drop_path": 0.2,
        }
    )
    config.model.efficientnet_lite = ConfigDict(
        {
            "training": "frozen",  # frozen (with its stored BatchNorm statistics) | train
            "width": 1.1,  # of lite2, as the depth is: multipliers of channels and repeats,
            "depth": 1.2,
            "stages": ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
                       (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),  # blocks, kernel, stride, expansion, channels
            "stem": 32,
            "head": 1280,
        }
    )  # fmt: skip
    config.model.retrieval = ConfigDict(
        {
            "enabled": True,
            "tokens": "vector",  # vector (eq. 4) | per_image
            "log_local": False,
            "feed_count": False,
        }
    )
    config.model.depth = ConfigDict(
        {
            "enabled": True,
            "resnet": "train",  # train | frozen | cached
            "views": "tokens",  # tokens (a token a masked image) | channels (all in one pass, 15 channels)
            "stage_sizes": (3, 4, 6, 3),
            "width": 64,
            "stem": "imagenet",  # imagenet (7x7 / 2, pool) | small (3x3 / 2, no pool)
            "side": 224,  # of the masked images
        }
    )
    config.model.fusion = "aggregation"  # aggregation | concat (Table 2)
    config.model.width = 512
    config.model.blocks = 4
    config.model.heads = 8
    config.model.mlp_ratio = 4

    # Of pairs: ratio_share | ratio_raw | ratio_log | log_likes (eq. 7) | bce (I2PA's). Of single images:
    # image_log_likes | image_huber | emd_squared | emd (NIMA's, on quantiles of the account's train likes)
    config.loss = ConfigDict({"name": "ratio_share"})


def _text_peers(config: ConfigDict) -> None:
    """The peers that read texts; only the section of config.model.network is read."""
    config.texts = ConfigDict(
        {
            "words": 50_000,  # most of the vocabulary, which comes from the train split
            "min_count": 5,
            "comments": 20,  # the earliest ones, where a network reads comments
        }
    )
    config.uhan = ConfigDict(
        {
            "width": 512,
            "head": (1024, 1024),
            "gates": "sigmoid",  # sigmoid | hard_sigmoid (the authors' Keras)
            "grid": "swin",  # swin | resnet (the one of model.depth): whose last map the regions are
            "image": "frozen",  # frozen | train: the network of the regions
            "fields": ("post",),
            "words": 50,  # of the text
            "unknown": 0.05,  # share of train images whose account is hidden
        }
    )
    config.xu = ConfigDict(
        {
            # And comment: written after the post. "description=post" puts another text (texts.FIELDS) under a name.
            "fields": ("image", "description", "hashtag", "caption"),
            "attention": "modality",  # modality | concat | mean
            "image": "frozen",  # frozen | train: Swin
            "words": 64,  # of a field
            "word_width": 300,
            "text_width": 256,  # of the GRU, each way
            "width": 512,
            "attention_width": 256,
            "head": (512, 256),
            "dropout": 0.3,
            "field_dropout": 0.1,  # share of train images that lack a text field
        }
    )


def _photo_peers(config: ConfigDict) -> None:
    """The peers that read photos alone; only the section of config.model.network is read."""
    config.nima = ConfigDict(
        {
            "stem": 32,
            "blocks": ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1),
                       (512, 1), (512, 1), (1024, 2), (1024, 1)),
            "padding": "symmetric",  # symmetric (the released graph) | same (today's Keras)
            "dropout": 0.75,
        }
    )  # fmt: skip
    config.musiq = ConfigDict(
        {
            "width": 384,
            "layers": 14,
            "heads": 6,
            "hidden": 1152,
            "stem": 64,
            "groups": 32,
            "grid": 10,
            "patch": 32,
            "longer_sides": (224, 384),  # px, of the resized copies
            "train_tokens": 512,  # of the photo itself, drawn at random; all it has,
            "score_tokens": 1462,  # up to this, in evaluation: 1080 x 1350 px
        }
    )
    config.i2pa = ConfigDict(
        {
            "stage_sizes": (3, 4, 6, 3),
            "width": 64,
            "pixels": "unit",  # unit ([0, 1]: the released file) | imagenet (normalised: a start from ImageNet's)
            "caption_filter": False,  # train on pairs of short captions alone: of at most
            "caption_words": 10,  # words
            "caption_tags": 1,  # and hashtags and mentions
        }
    )


def _input(config: ConfigDict) -> None:
    """How photos are read, and what a step holds."""
    config.input = ConfigDict(
        {
            "resize": 256,  # images are squeezed to this square,
            "crop": 224,  # then cropped: at random in training, at the centre otherwise
            "flip": True,
            "workers": 4,  # reading processes; 0 reads in threads
            "threads": 4,
            "prefetch": 4,  # steps decoded ahead
        }
    )
    config.batch = ConfigDict(
        {
            "by": "pairs",  # pairs (the paper) | groups (each image scored once)
            "pairs": 12,  # a step, over all devices
            "slots": 32,  # images a pack holds, by groups
            "packs": 1,  # a step, over all devices, by groups
            "accumulate": 1,  # micro-batches a device's share is cut into
        }
    )


def _optim(config: ConfigDict) -> None:
    """The optimizer and its parameter groups (section 4.1.3)."""
    config.optim = ConfigDict(
        {
            "weight_decay": 1e-2,
            "warmup_steps": 500,
            "clip_norm": 1.0,
            "b1": 0.9,
            "b2": 0.999,
            "ema": 0.0,  # 0: off; else the decay of the averaged parameters that are evaluated and exported
        }
    )
    # Parameter groups: each leaf's path must match exactly one pattern, and each pattern a leaf.
    config.optim.groups = ConfigDict(
        {
            "swin_decayed": {"pattern": r"swin/.*kernel", "learning_rate": 1e-5, "decay": True},
            "swin_plain": {"pattern": r"swin/(?!.*kernel).*", "learning_rate": 1e-5, "decay": False},
            "rest_decayed": {"pattern": r"(?!swin/).*kernel", "learning_rate": 1e-4, "decay": True},
            "rest_plain": {"pattern": r"(?!swin/)(?!.*kernel).*", "learning_rate": 1e-4, "decay": False},
        }
    )


def _train(config: ConfigDict) -> None:
    """How long a run is, what it writes and how it is evaluated."""
    config.train = ConfigDict(
        {
            "epochs": 10.0,
            "log_every": 50,
            "eval_every": 2000,  # steps between two looks at validation
            "full_eval_epochs": 1.0,  # epochs between evaluations on all of validation, which pick the best checkpoint
            "checkpoint_every": 0,  # steps between checkpoints to resume from, beside those of the evaluations; 0: none
            "checkpoint_minutes": 10.0,  # the same in time, looked at every log_every steps
            "writers": "own",  # own (tensorboard event files, CSV, JSONL, console) | clu (needs TensorFlow)
            "compilation_cache": placeholder(str),
            # Store only products for the backward pass and compute the rest again: half the memory, free on a CPU.
            "remat": "cpu",  # never | cpu | always (for a GPU that has too little memory)
        }
    )
    config.eval = ConfigDict(
        {
            "part": 2000,  # images (whole groups) of validation for the looks between; 0: each look is at all of it
            "images": 32,  # a device scores at once; scores do not depend on it
            "dtype": "float32",  # float32 at highest matmul precision | bfloat16
            "bootstrap": 1000,
            "duplicate_cosine": 0.95,  # of centred backbone features, above which an image is a near-duplicate
        }
    )


def parameter_groups(config: ConfigDict, **groups: tuple[str, float, bool]) -> None:
    """Replaces config.optim.groups, for another network: name=(pattern, learning rate, whether weights decay)."""
    with config.unlocked():
        config.optim.groups = ConfigDict(
            {name: {"pattern": p, "learning_rate": rate, "decay": decay} for name, (p, rate, decay) in groups.items()}
        )


def same_rate(config: ConfigDict, rate: float) -> None:
    """One learning rate for all parameter groups."""
    for group in config.optim.groups.values():
        group.learning_rate = rate


def _shrink(config: ConfigDict, size: str) -> None:
    """The sizes that fit two CPU cores. Raises ValueError for an unknown size."""
    if size not in ("demo", "tiny"):
        raise ValueError(f"size {size!r} is not one of full, demo, tiny (given as --config=FILE:SIZE)")
    config.init.random = True
    config.data.depth.side = 48
    config.model.dtype = "float32"
    config.model.swin.update({"width": 32, "depths": (1, 1), "heads": (2, 4), "window": 6, "drop_path": 0.0})
    stages = ((1, 3, 1, 1, 16), (1, 3, 2, 6, 24), (1, 5, 2, 6, 40))
    config.model.efficientnet_lite.update({"training": "train", "width": 1.0, "depth": 1.0, "stages": stages})
    config.model.efficientnet_lite.update({"stem": 16, "head": 128})
    config.model.depth.update({"stage_sizes": (1, 1, 1), "width": 8, "stem": "small", "side": 24})
    config.model.update({"width": 64, "blocks": 2, "heads": 4})
    config.input.update({"resize": 48, "crop": 48, "workers": 0, "threads": 2})
    config.batch.update({"by": "groups", "slots": 48, "packs": 1})
    config.optim.update({"warmup_steps": 100, "ema": 0.99})
    same_rate(config, 1.5e-3)
    config.train.update({"epochs": 6.0, "log_every": 50, "eval_every": 250, "checkpoint_every": 250})
    config.train.update({"checkpoint_minutes": 0.0, "remat": "never"})
    config.eval.update({"part": 0, "images": 96})
    if size == "tiny":
        _shrink_extractors(config.extract)
        config.model.swin.update({"width": 8, "depths": (1,), "heads": (1,)})
        config.model.efficientnet_lite.update({"stages": ((1, 3, 2, 1, 8),), "stem": 8, "head": 16})
        config.model.depth.update({"stage_sizes": (1,), "width": 4, "side": 12})
        config.input.update({"resize": 24, "crop": 24})
        config.model.update({"width": 16, "blocks": 1, "heads": 2})
        config.optim.warmup_steps = 2
        config.train.update({"epochs": 1.0, "log_every": 1, "eval_every": 5, "checkpoint_every": 5})


def _shrink_extractors(extract: ConfigDict) -> None:
    """Networks of the official shapes and no size to speak of; they only run with random weights."""
    extract.update({"batch": 4, "workers": 0})
    extract.pose.side = 64
    extract.pose.fields.update({"width": 4, "modules": (1, 1, 1), "blocks": 1, "stem": 8, "offset_width": 3})
    extract.background.side = 64
    extract.background.fields.update({"stage_sizes": (1, 1, 1, 1), "width": 4, "head": 8})
    extract.caption.update({"short_side": 64, "long_side": 128, "min_boxes": 2, "max_boxes": 4, "regions": 6})
    extract.caption.update({"beam": 2, "words": 5})
    extract.caption.detector_fields.update({"stage_sizes": (1, 1, 1), "width": 4, "blocks": 1, "rpn_width": 8})
    extract.caption.detector_fields.update({"classes": 20, "attributes": 5, "embedding": 4, "attribute_width": 8})
    extract.caption.captioner_fields.update({"vocabulary": 30, "width": 16, "heads": 2, "layers": 1, "memories": 2})
    extract.caption.captioner_fields.update({"hidden": 16, "positions": 8})
    extract.depth.size = (48, 64)
    extract.depth.fields.update({"stem": 8, "stages": ((1, 3, 1, 1, 8), (1, 3, 2, 6, 8), (1, 3, 2, 6, 8))})
    extract.depth.fields.update({"features": 16, "width": 8, "heads": 2, "layers": 1, "hidden": 16, "patch": 4})
    extract.depth.fields.update({"positions": 64, "queries": 8, "bins": 8})
    extract.light.side = 32
    extract.light.fields.update({"stages": ((1, 3, 1, 1, 8), (1, 3, 2, 2, 8)), "stem": 8, "head": 16, "classes": 20})
