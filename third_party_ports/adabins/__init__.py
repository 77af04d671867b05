"""AdaBins: a depth map of a photo, written from its description."""
