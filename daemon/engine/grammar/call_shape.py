"""How a family of models writes calls of tools, for a grammar that forces one."""

from __future__ import annotations

import re
from typing import Literal

from ...protocol.immutable import Value

_TRIGGER = re.compile(r"\s*(?![{\[][{\"])[<\[][^\s{]{2,}")


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
