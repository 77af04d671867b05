"""The bottom-up detector: regions of a photo and their features."""
