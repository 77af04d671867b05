"""The flag --config, and the flags --config.FIELD that change fields of the config."""

import argparse
import ast
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

import configs
from third_party_ports.cli import Parser, home

SHIPPED = Path(configs.__file__).parent


def shipped_configs() -> list[str]:
    """Names of the configs that come with the project."""
    return sorted(file.stem for file in SHIPPED.glob("*.py") if file.stem != "__init__")


def config_file(text: str) -> str:
    """The type of --config: a file or the name of a shipped config, and optionally ":SIZE".

    Returns PATH or PATH:SIZE. "configs/NAME.py" names a shipped config in every working folder.
    """
    name, colon, size = text.partition(":")
    path = Path(name)
    if path.suffix != ".py" or not path.is_file():
        own = (path.suffix, str(path.parent)) in (("", "."), (".py", "configs"))
        shipped = SHIPPED / f"{path.stem}.py"
        if not own or path.stem == "__init__" or not shipped.is_file():
            raise argparse.ArgumentTypeError(
                f"no such file: {name}; give a file, or one of {', '.join(shipped_configs())}"
            )
        path = shipped
    return f"{path}{colon}{size}"


class ConfigParser(Parser):
    """A parser that also takes --config and --config.FIELD=VALUE. Its result has the locked config as `config`."""

    def __init__(self, name: str, doc: str | None, *, default: str | None = None, acts: str = "", **more):
        super().__init__(name, doc, **more)
        text = f"a file, or a config that comes with the project, as NAME or NAME:SIZE{acts}"
        self.add_argument("--config", type=config_file, default=default, required=default is None, help=text)
        self.add_argument("--config.FIELD", dest="_", metavar="VALUE", help="change a field, as --config.seed=1")

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        """Parses the flags. Ends the process with one line and status 2 if a flag, file, field or value is wrong."""
        given, rest = self.parse_known_args(args, namespace)
        given.config = self._config(given.config, rest)
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # grain reads absl's own flags
        return given

    def _config(self, file: str, changes: Sequence[str]) -> ConfigDict:
        values = flags.FlagValues()
        try:
            config = _load(file)
            argv = ["", *_leaf_by_leaf(config, changes)]
            config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=argv)
            if left := values(argv)[1:]:
                self.error(f"unknown arguments: {' '.join(left)}")
        except (AttributeError, KeyError) as error:  # ml_collections names the field, and one of a similar name
            field = str(error).replace("\\n", ". ").replace("\\", "").strip("\"'")  # the message is quoted twice
            self.error(f"no such field of --config: {field} (configs/full.py lists all fields)")
        except (flags.Error, ValueError) as error:  # a wrong value, or an unknown size
            self.error(
                " ".join(str(error).replace("'Non-boolean argument to boolean flag', ", "true or false, not ").split())
            )
        _expand_homes(values.config)
        return values.config


def _load(file: str) -> ConfigDict:
    """The config of PATH or PATH:SIZE."""
    path, _, size = file.partition(":")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None and spec.loader is not None  # the file exists and ends with .py
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*[size] * bool(size))


def _leaf_by_leaf(config: ConfigDict, changes: Sequence[str]) -> Iterator[str]:
    """The flags, with one for each field in the place of a part that is given as a dict: --config.loss={'name': 'bce'}.

    Raises ValueError for a part that is given as anything else.
    """
    words = iter(changes)
    for word in words:
        flag, equals, text = word.partition("=")
        part = _part(config, flag)
        if part is None:
            yield word
            continue
        yield from _spread(flag, text if equals else next(words, ""), part)


def _part(config: ConfigDict, flag: str) -> ConfigDict | None:
    """The part of a config that a flag names; None where it names a field, or nothing."""
    at: Any = config
    for name in flag.removeprefix("--config.").split(".") if flag.startswith("--config.") else [""]:
        if not isinstance(at, ConfigDict) or name not in at:
            return None
        at = at[name]
    return at if isinstance(at, ConfigDict) else None


def _spread(flag: str, text: str, part: ConfigDict) -> Iterator[str]:
    try:
        given = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        given = None
    if not isinstance(given, dict) or not given:
        known = f"{flag}.{next(iter(part), 'FIELD')}"
        raise ValueError(f"{flag} is a part with fields, not a value: set them one by one, as {known}=...")
    for name, value in given.items():
        inner = part.get(name) if isinstance(name, str) else None
        if isinstance(value, dict) and isinstance(inner, ConfigDict):
            yield from _spread(f"{flag}.{name}", repr(value), inner)
        else:
            yield f"{flag}.{name}={value}"


def _expand_homes(config: ConfigDict) -> None:
    """Puts the home folder for the ~ that begins a path, also in a file of the user's own."""
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            _expand_homes(value)
        elif isinstance(value, str) and value.startswith("~"):
            config[name] = home(value)
