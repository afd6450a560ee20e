"""How a family of models writes calls of tools, for a grammar that forces one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

from ...protocol.immutable import Value

_TRIGGER = re.compile(r"\s*(?![{\[][{\"])[^\s{]{3,}")


class CallShape(Value, frozen=True):
    """`before` all calls, then for each `begin` NAME `middle` ARGUMENTS `end`, with `between` two of them; `after` all.

    ARGUMENTS are a JSON object, or for each argument an `element` with its `{key}` and `{value}` (and, as `{string}`,
    whether the value is a text); texts stand in elements as they are, all else as JSON. `python`: keyword arguments.
    `gemma`: an object whose keys are bare and whose texts stand between `quote` and `quote`.
    """

    begin: str
    middle: str
    end: str
    before: str = ""
    between: str = ""
    after: str = ""
    arguments: Literal["json", "python", "gemma"] = "json"
    element: str = ""
    quote: str = ""

    @property
    def opener(self) -> str:
        """What stands before the name of the first call."""
        return self.before + self.begin

    @property
    def trigger(self) -> str:
        """The beginning of `opener` that no other text has; "" where there is none, as before a bare JSON object."""
        found = _TRIGGER.match(self.opener)
        return found[0] if found else ""


HERMES = CallShape('<tool_call>\n{"name": "', '", "arguments": ', "}\n</tool_call>", between="\n")
"""Hermes 2 and 3, Qwen 2.5 and 3, and many more."""
QWEN_CODER = CallShape(
    "<tool_call>\n<function=",
    ">\n",
    "</function>\n</tool_call>",
    between="\n",
    element="<parameter={key}>\n{value}\n</parameter>\n",
)
"""Qwen3-Coder and Qwen3.5."""
_BY_PARSER = {"json_tools": HERMES, "qwen3_coder": QWEN_CODER}


def known_shape(tool_start: str, parser: Callable[..., Any] | None) -> CallShape | None:
    """Of a model whose calls open with this marker and are read by this parser of mlx-lm's."""
    shape = _BY_PARSER.get(getattr(parser, "__module__", "").rpartition(".")[2])
    return shape if shape is not None and shape.opener.startswith(tool_start or "\0") else None
