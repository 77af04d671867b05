"""Scores to metrics: pairs (eq. 8), the metrics of section 4.1.2 and eq. 9, intervals, and how figures are shown.

`registry.py` lists the metrics. To add one, write a function and a row there.
"""
