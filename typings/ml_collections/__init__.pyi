"""ml_collections as the type checker sees it here: a field of a config may have any type.

The package's own annotations give each field the union of all types that a field may have: every use would be an error.
"""

from typing import Any

from ml_collections import config_flags as config_flags
from ml_collections.config_dict import ConfigDict as ConfigDict

def __getattr__(name: str) -> Any: ...
