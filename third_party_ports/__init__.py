"""Flax ports of the published networks."""

__version__ = "1.0.0"  # of the converted files: names and meaning of their tensors
