"""The ranking as a local page: drop photos, see the order build up, compare, open the reasons, mark your own picks."""
