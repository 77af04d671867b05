"""The TFDS builder."""
