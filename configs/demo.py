"""full.py at the size of the demo world: 48 px images, two CPU cores, minutes.

Run: make demo
"""

from ml_collections import ConfigDict

from configs import full


def get_config() -> ConfigDict:
    return full.get_config("demo")
