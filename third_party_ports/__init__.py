"""Flax ports of the published networks."""
