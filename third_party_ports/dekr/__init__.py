"""DEKR: people and their keypoints in a photo, network and post-processing."""
