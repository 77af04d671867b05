"""Extension of griffe, which reads the docstrings: keeps an index in brackets from becoming a Markdown link."""

from typing import Any

from griffe import Extension, Object


class Brackets(Extension):
    """Escapes `params["head"]["kernel"]`, which Markdown takes for a link to "kernel"."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Changes the docstring of each module, class and function."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("][", r"]\[")
