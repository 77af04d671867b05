"""A leakage checklist for data sets and runs, and planted leaks that it must find.

`checklist.py` makes the lines: `checks.py` those of a data set, `run_checks.py` what a run adds. The data comes from
`stored_data.py`, and `recompute.py` computes its features again. `leaks.py` has the planted leaks.
"""
