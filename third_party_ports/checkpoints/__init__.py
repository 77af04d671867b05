"""Weight files: what is known of each, reading without unpickling, conversion to safetensors, download."""
