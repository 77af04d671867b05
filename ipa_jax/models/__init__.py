"""The networks of section 3."""
