"""AdaBins: a depth map from a photo, written from a description of the network."""
