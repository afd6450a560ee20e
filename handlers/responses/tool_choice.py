"""What `tool_choice` and `parallel_tool_calls` say of the tools that are offered."""

from __future__ import annotations

from typing import Any

from ...daemon.protocol import Calling
from ..failure import RequestError
from .callable_tools import CallableTool, CallableTools
from .refusals import invalid

_WORDS = ("auto", "none", "required")


def calling(choice: Any, parallel: bool, tools: CallableTools) -> Calling | None:
    """None: nothing may be called, and no tool is shown. Raises RequestError."""
    if choice is None or choice == "auto":
        return Calling(parallel=parallel)
    if choice == "none":
        return None
    if not isinstance(choice, dict | str) or (isinstance(choice, str) and choice not in _WORDS):
        raise _invalid(f"use {', '.join(repr(word) for word in _WORDS)}, or an object that names a tool")
    if not tools.tools:
        raise _invalid("it needs 'tools' that can be called")
    if choice == "required":
        return Calling(required=True, parallel=parallel)
    assert isinstance(choice, dict)
    if choice.get("type") == "allowed_tools":
        return _allowed(choice, parallel, tools)
    return Calling(required=True, names=_names(_found(choice, tools)), parallel=False)


def _allowed(choice: dict[str, Any], parallel: bool, tools: CallableTools) -> Calling | None:
    entries, mode = choice.get("tools"), choice.get("mode")
    if not isinstance(entries, list) or not entries or mode not in ("auto", "required"):
        raise _invalid("'allowed_tools' has a 'mode', auto or required, and a list of 'tools'")
    ours = [each for each in entries if not isinstance(each, dict) or each.get("type") not in tools.hosted]
    found = tuple(tool for each in ours for tool in _found(each, tools))
    if not found and mode == "required":
        raise _invalid("none of its tools can be called: hosted tools are not run here")
    return Calling(required=mode == "required", names=_names(found), parallel=parallel) if found else None


def _found(choice: Any, tools: CallableTools) -> tuple[CallableTool, ...]:
    """The tools that an object of one names, all of a namespace's for {"type": "namespace"}."""
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(kind, str):
        raise _invalid('it must name a tool: {"type": "function", "name": …}')
    if kind not in ("function", "custom", "namespace"):
        raise RequestError(
            f"'tool_choice' is not supported: tools of type {kind[:64]} are not run here; choose a function",
            param="tool_choice",
            code="unsupported_parameter",
        )
    name, namespace = choice.get("name"), choice.get("namespace")
    if not isinstance(name, str) or not isinstance(namespace, str | None):
        raise _invalid('it must name a tool: {"type": "function", "name": …}')
    if kind == "namespace":
        found = tuple(tool for tool in tools.tools if tool.namespace == name)
    else:
        found = tuple(tool for tool in tools.named(name, namespace) if tool.custom == (kind == "custom"))
    if not found:
        raise _invalid(f"'tools' has no {kind} '{name[:128]}'")
    return found


def _names(tools: tuple[CallableTool, ...]) -> tuple[str, ...]:
    return tuple(tool.offered for tool in tools)


def _invalid(why: str) -> RequestError:
    return invalid("tool_choice", why)
