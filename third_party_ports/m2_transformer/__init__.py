"""M2 Transformer: a caption and its vector from region features."""
