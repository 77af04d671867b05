"""Plain ml_collections files; full.py is the only home of defaults."""
