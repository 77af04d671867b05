"""Layers that several ported networks share."""
