"""From raw posts to the Top3000 pair groups."""
