"""Finds a network's tensors in what a training program saves around them.

Programs keep the state dict under a key (`state_dict`, `model`, ...), and wrappers of networks put a word before every
name: `module.` (DataParallel), `_orig_mod.` (torch.compile), `model.` (Lightning).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

KEYS = (  # the preferred one first
    "state_dict", "model_state_dict", "model", "module", "net", "network", "params", "weights",
    "state_dict_ema", "ema_state_dict", "model_ema", "params_ema", "ema",
)  # fmt: skip
COMPILED = "_orig_mod"
LEVELS = 4  # of wrappers inside each other


class Unwrapped(NamedTuple):
    """Which tensors of a file belong to the network.

    Attributes:
      names: the file's name of each tensor, by its name without wrappers.
      remarks: what you should know about the choice, a sentence each.
    """

    names: dict[str, str]
    remarks: list[str]


def unwrap(names: Iterable[str], keys: Sequence[str]) -> Unwrapped:
    """Takes the tensors under the first of `keys` that the file has, and so on inside them.

    Args:
      names: of all tensors of a file.
      keys: to look under, the preferred one first; dots join nested ones.

    Returns:
      All tensors if the file has none of the keys. If another part of the file holds tensors of the same names (such as
      the moving average of the weights), a remark says which one was taken.
    """
    found = _without_compiled({name: name for name in names})
    remarks: list[str] = []
    for _ in range(LEVELS):
        key = next((key for key in keys if _under(found, key)), None)
        if key is None or (inside := _under(found, key)).keys() & found.keys():  # then it is no word before all names
            break
        if others := _same_tensors(found, inside, key):
            remarks.append(
                f"it holds several sets of weights: {key} was taken, and {', '.join(others)} was not. To convert "
                "another one, save it alone."
            )
        found = inside
    return Unwrapped(found, remarks)


def _under(names: dict[str, str], key: str) -> dict[str, str]:
    return {name[len(key) + 1 :]: full for name, full in names.items() if name.startswith(f"{key}.")}


def _without_compiled(names: dict[str, str]) -> dict[str, str]:
    """torch.compile may wrap any part of a network."""
    if not any(COMPILED in name for name in names):
        return names
    plain = {".".join(part for part in name.split(".") if part != COMPILED): full for name, full in names.items()}
    return plain if len(plain) == len(names) else names


def _same_tensors(names: dict[str, str], inside: dict[str, str], taken: str) -> list[str]:
    """Other keys of the same level with tensors of the same names, apart from a wrapper's word before them."""
    wanted = {_bare(name) for name in inside}
    groups: dict[str, set[str]] = {}
    for name in names:
        key, dot, rest = name.partition(".")
        if dot and key != taken.partition(".")[0]:
            groups.setdefault(key, set()).add(_bare(rest))
    return [key for key, group in groups.items() if 2 * len(group & wanted) > len(wanted)]


def _bare(name: str) -> str:
    return name.removeprefix("module.")
