"""Retrieval: accounts, memory bank, similarity (eq. 1), Top-K, local scores (eq. 2 and 3)."""
