"""The tools of a request as functions that the model is offered, and whose a call of one is.

A function of a namespace is offered under its own name, and where another has that name too, as NAMESPACE__NAME. A
custom tool is offered as a function of one text, `input`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from .. import ranges
from ..failure import RequestError
from ..ranges import plain
from .refusals import converted, echoed, invalid, missing

MAX_TOOLS = 512
MAX_DEFINITION = 64 << 10
_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")


class ToolFormat(msgspec.Struct):
    type: Literal["text", "grammar"]
    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = None


class _Function(msgspec.Struct):
    name: ranges.Label
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Custom(msgspec.Struct):
    name: ranges.Label
    description: str | None = None
    format: ToolFormat | None = None


class _Namespace(msgspec.Struct):
    name: ranges.Label
    tools: list[dict[str, Any]]
    description: str | None = None


class _Kind(msgspec.Struct):
    type: str


_kinds, _namespaces = msgspec.json.Decoder(_Kind), msgspec.json.Decoder(_Namespace)
_functions, _customs = msgspec.json.Decoder(_Function), msgspec.json.Decoder(_Custom)


@dataclass(frozen=True)
class CallableTool:
    """`name`, `namespace` and `custom` are the client's; `offered` is the model's name of it, `function` what its
    template shows, `where` the place in the request."""

    name: str
    namespace: str | None
    custom: bool
    offered: str
    function: dict[str, Any]
    where: str

    @property
    def title(self) -> str:
        return self.name if self.namespace is None else f"{self.namespace}.{self.name}"


@dataclass(frozen=True)
class CallableTools:
    """`hosted` are the types of tools that are not run here and not offered."""

    tools: tuple[CallableTool, ...]
    hosted: tuple[str, ...]

    def of_call(self, offered: str) -> CallableTool | None:
        """The tool that the model calls so."""
        return next((tool for tool in self.tools if tool.offered == offered), None)

    def offered_name(self, name: str, namespace: str | None) -> str:
        """What the model calls a tool that a client names so; its own name where it is not among these tools."""
        for tool in self.tools:
            if tool.name == name and tool.namespace == namespace:
                return tool.offered
        return name

    def named(self, name: str, namespace: str | None = None) -> tuple[CallableTool, ...]:
        """Those that a choice means: of this namespace or, where it names none, of any, a bare name first."""
        if namespace is not None:
            return tuple(tool for tool in self.tools if tool.name == name and tool.namespace == namespace)
        found = [tool for tool in self.tools if name in (tool.name, tool.title, tool.offered)]
        flat = [tool for tool in found if tool.namespace is None]
        return tuple(flat or found)

    def shown(self) -> tuple[dict[str, Any], ...]:
        """For the chat template."""
        return tuple({"type": "function", "function": tool.function} for tool in self.tools)


def callable_tools(given: list[dict[str, Any]] | None) -> CallableTools:
    """Raises RequestError naming the field."""
    found: list[tuple[str, str | None, dict[str, Any], str]] = []
    hosted: list[str] = []
    for index, tool in enumerate(given or ()):
        where = f"tools[{index}]"
        kind = converted(echoed(tool, where), _kinds, where).type
        if kind == "namespace":
            found += _of_namespace(tool, where)
        elif kind in ("function", "custom"):
            found.append((kind, None, tool, where))
        elif kind not in hosted:
            hosted.append(kind)
    if len(found) > MAX_TOOLS:
        raise RequestError(f"'tools' has more than {MAX_TOOLS} entries", param="tools", code="invalid_value")
    return CallableTools(tuple(_named(found)), tuple(hosted))


def _of_namespace(tool: dict[str, Any], where: str) -> Iterator[tuple[str, str | None, dict[str, Any], str]]:
    space = converted(tool, _namespaces, where)
    _check_name(space.name, where)
    for index, inner in enumerate(space.tools):
        place = f"{where}.tools[{index}]"
        kind = converted(inner, _kinds, place).type
        if kind not in ("function", "custom"):
            raise invalid(f"{place}.type", "a namespace has functions and custom tools")
        if not index and space.description:  # what is said of all of them is told with the first
            described = inner.get("description")
            text = f"{space.name}: {space.description}"
            inner = inner | {"description": f"{text}\n\n{described}" if isinstance(described, str) else text}
        yield kind, space.name, inner, place


def _named(found: list[tuple[str, str | None, dict[str, Any], str]]) -> Iterator[CallableTool]:
    read = [
        (space, where, _function(tool, where) if kind == "function" else _custom(tool, where), kind == "custom")
        for kind, space, tool, where in found
    ]
    flat = {function["name"] for space, _, function, _ in read if space is None}
    spaces = Counter(function["name"] for space, _, function, _ in read if space is not None)
    taken = set(flat)
    for space, where, function, custom in read:
        name = offered = function["name"]
        if space is not None:
            if name in flat or spaces[name] > 1:
                offered = f"{space}__{name}"
            while offered in taken:
                offered += "_"
            taken.add(offered)
        yield CallableTool(name, space, custom, offered, function | {"name": offered}, where)


def _function(tool: dict[str, Any], where: str) -> dict[str, Any]:
    read = converted(tool, _functions, where)
    _check_name(read.name, where)
    given = {"description": read.description, "parameters": read.parameters, "strict": read.strict}
    function = {"name": read.name} | {key: value for key, value in given.items() if value is not None}
    return plain(function, where)


def _custom(tool: dict[str, Any], where: str) -> dict[str, Any]:
    read = converted(tool, _customs, where)
    _check_name(read.name, where)
    text: dict[str, Any] = {"type": "string"}
    description = read.description or ""
    if read.format is not None and read.format.type == "grammar":
        syntax, definition = read.format.syntax, read.format.definition
        if syntax is None:
            raise missing(f"{where}.format.syntax")
        if not definition:
            raise missing(f"{where}.format.definition")
        if len(definition) > MAX_DEFINITION:
            raise invalid(f"{where}.format.definition", f"it is longer than {MAX_DEFINITION >> 10} KiB")
        told = "grammar, in Lark's notation" if syntax == "lark" else "regular expression"
        description = f"{description}\n\n`input` is a text of this {told}:\n{definition}".strip()
        if syntax == "regex":
            text["pattern"] = f"^(?:{definition})$"
    parameters = {"type": "object", "properties": {"input": text}, "required": ["input"], "additionalProperties": False}
    function: dict[str, Any] = {"name": read.name, "parameters": parameters}
    return function | ({"description": description} if description else {})


def _check_name(name: str, where: str) -> None:
    if not _NAME.fullmatch(name):
        raise invalid(f"{where}.name", "it has 1 to 128 letters, digits and characters of _.:/-")
