"""Raw posts of several layouts, read into one checked table."""
