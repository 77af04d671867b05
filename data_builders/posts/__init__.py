"""Posts: from raw data to one checked table."""
