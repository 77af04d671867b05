"""Features of photos: the frozen networks that extract them, and the store that holds them."""
