"""Scores to metrics: pairs, eq. 9, intervals, and how figures are shown."""
