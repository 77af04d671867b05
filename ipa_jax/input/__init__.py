"""Batches: what a network reads of the data set, packed into arrays of one shape."""
