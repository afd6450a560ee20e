"""Chat templates, rendered as Transformers does (`render_jinja_template`) but without it, and never without end."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
import jinja2.utils


class TooLong(Exception):
    """A template wrote more than it may."""


class Template:
    """A compiled template. `literals` is the text that stands in it, outside and inside its expressions; `variables`
    are the names that it may look up."""

    def __init__(self, source: str) -> None:
        """Raises jinja2.TemplateError."""
        self.source = source
        tree = _environment().parse(source)
        self.literals = _literals(tree)
        self.variables = frozenset(jinja2.meta.find_undeclared_variables(tree))
        self._compiled = _environment().from_string(tree)

    def render(self, variables: dict[str, Any], most: int) -> str:
        """Raises TooLong past `most` characters, and whatever the template does."""
        pieces, size = [], 0
        given = {name: _Given(value) if type(value) is list else value for name, value in variables.items()}
        for piece in self._compiled.generate(given):
            size += len(piece)
            if size > most:
                raise TooLong
            pieces.append(piece)
        return "".join(pieces)


@functools.lru_cache(maxsize=8)
def compiled(source: str) -> Template:
    """One that may have been compiled before. Raises jinja2.TemplateError."""
    return Template(source)


def _literals(tree: jinja2.nodes.Template) -> str:
    """Joined with a character that no token has, so that none is found across two of them."""
    texts = {node.data for node in tree.find_all(jinja2.nodes.TemplateData)}
    texts |= {node.value for node in tree.find_all(jinja2.nodes.Const) if isinstance(node.value, str)}
    return "\0".join(texts)


class _Generation(jinja2.ext.Extension):
    """`{% generation %}`, which marks the model's own words for training, and here does nothing."""

    tags = {"generation"}  # noqa: RUF012 - as the class above declares it

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_inside"), [], [], body).set_lineno(line)

    def _inside(self, caller: Callable[[], str]) -> str:
        return caller()


class _Dictionary:
    """`dict` without its attributes, which lead out of the sandbox."""

    def __call__(self, *args: Any, **options: Any) -> dict[Any, Any]:
        return dict(*args, **options)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(jinja2.utils.Namespace):
    """Takes no name with an underscore in front, for such names lead out of the sandbox."""

    def __init__(*args: Any, **options: Any) -> None:
        self, *given = args
        attributes = dict(*given, **options)
        for name in attributes:
            _check_name(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace takes no name with an underscore in front ({name!r})")


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own would escape HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys, default=_listed
    )


def _listed(value: Any) -> list[Any]:
    """What a filter such as `map` gives. Raises TypeError for what is no sequence."""
    return list(value)


def _raise(message: str) -> None:
    raise jinja2.exceptions.TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


class _Given(list[Any]):
    """A list of the request's, which stays as it is."""


class _Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Lists that a template made itself may grow and shrink, for some templates keep a queue in one."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return (type(obj) is list and attr in ("append", "pop")) or super().is_safe_attribute(obj, attr, value)


@functools.cache
def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals |= {
        "raise_exception": _raise,
        "strftime_now": _now,
        "dict": _Dictionary(),
        "namespace": _Namespace,
    }
    return environment
