"""report.html: one self-contained page about one or more runs on a data set.

`page.py` writes the page from what `runs.py` reads; `tables.py`, `figures.py` and `examples.py` make its parts.
"""
