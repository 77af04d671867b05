"""Scores that nothing was trained for: chance, nearest neighbours, metadata, the demo world's truth."""
