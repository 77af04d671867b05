"""The files that hold the frozen networks' converted weights: where they are, how to get them, what they come from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_builders.features.extractors import extractor
from third_party_ports.checkpoints import packaged, sealed, zoo
from third_party_ports.checkpoints.weights import WeightsError


def weights_path(folder: str, name: str) -> Path:
    """The file with the converted weights of `name`, a row of third_party_ports.checkpoints.zoo.

    It is in `folder`, or in the user's cache if it is not there and an installed package brings the weights: then the
    first call converts them.

    Raises:
      WeightsError: `folder` lacks weights that a package brings, and the package is not installed.
      OSError: the cache folder cannot be written.
    """
    row = zoo.checkpoint(name)
    path = Path(folder) / row.converted
    return packaged.converted_file(row) if row.package and not path.is_file() else path


def how_to_get(folder: str, name: str) -> str:
    """The command that puts a missing file into `folder`."""
    row = zoo.checkpoint(name)
    if row.package:
        return f"{name}: {packaged.install(row)}"
    if row.url:
        return f"{name}: ipa-jax fetch {name} --out {folder}"
    convert = f"ipa-jax convert {name} {row.file} --out {weights_path(folder, name)}"
    return f"{name}: get {row.file} from {row.page}, then {convert}"


def require_weights(names: Sequence[str], options: Mapping[str, Any]) -> None:
    """Checks that the weights of these extractors are in the folder config.extract.weights.

    Raises:
      ValueError: files are missing; says for each one how to get it. A package is missing; says how to install it.
    """
    folder = options["weights"]
    needed = [network for name in names for network in extractor(name).networks(options)]
    lacking = [network for network in needed if not weights_path(folder, network).is_file()]
    if lacking:
        commands = "".join(f"\n  {how_to_get(folder, network)}" for network in lacking)
        raise ValueError(f"{folder}: weights are missing (--config.extract.weights names their folder):{commands}")


def source_sha256(folder: str, name: str) -> str:
    """The sha256 of the official file that a converted file was made from, as the converted file says.

    Raises:
      WeightsError: the file is broken, or was not written by `ipa-jax convert`.
    """
    path = weights_path(folder, name)
    remedy = f"make it again: {how_to_get(folder, name)}"
    metadata = sealed.metadata(path, WeightsError, remedy)
    if "source_sha256" not in metadata:
        raise WeightsError(f"{path}: the file does not say what it was converted from; {remedy}")
    return metadata["source_sha256"]


def header(name: str, options: Mapping[str, Any], random: bool) -> dict[str, str]:
    """What the store's header says about each part that an extractor fills.

    Returns:
      `name`: the networks; `version`: the extractor's version and the options that act; `weights_sha256`: of the
      official files, or "random".
    """
    kind = extractor(name)
    networks = kind.networks(options)
    hashed = [network for network in networks if zoo.checkpoint(network).module]
    sha256 = "random" if random else "+".join(source_sha256(options["weights"], network) for network in hashed)
    acting = json.dumps(kind.acting(options), sort_keys=True, separators=(",", ":"))
    return {"name": "+".join(networks), "version": f"{kind.version} {acting}", "weights_sha256": sha256}
