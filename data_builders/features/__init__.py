"""Features of photos: extraction with frozen networks, and the store that holds them."""
