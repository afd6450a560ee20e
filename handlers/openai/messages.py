"""OpenAI's messages and tools, as chat templates expect them."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ...daemon.protocol import Calling, ChatPrompt
from ..decode import refuse, unsupported
from ..failure import RequestError
from ..pictures.request_pictures import RequestPictures
from ..ranges import plain, template_options
from .bodies import MESSAGE_FIELDS, Call, ChatBody, Message, Tool
from .message_content import content

if TYPE_CHECKING:
    from ...store.installed import Installed

_FUNCTION_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
EFFORTS: dict[str, bool | Literal["low", "medium", "high"]] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
MAX_TOOLS = 512


def prompt(body: ChatBody, pictures: RequestPictures) -> ChatPrompt:
    """The prompt without its pictures, which go into `pictures`. Raises RequestError naming the field."""
    if not body.messages:
        raise RequestError("[] is too short - 'messages'", param="messages", code="invalid_value")
    names: dict[str, str] = {}
    messages = tuple(
        _message(message, f"messages[{index}]", names, pictures) for index, message in enumerate(body.messages)
    )
    options = dict(body.chat_template_kwargs or {})
    thinking = _thinking(body, options)
    return ChatPrompt(
        messages=messages,
        tools=tools(body),
        thinking=thinking,
        thinking_budget=thinking_budget(body),
        template_options=template_options(options),
        continue_last=bool(body.continue_final_message),
    )


def check_abilities(body: ChatBody, prompt: ChatPrompt, installed: Installed) -> None:
    """Refuse what the model cannot do by what the listings say of it. Raises RequestError."""
    require(body, prompt, installed.manifest.capabilities)


def require(body: ChatBody, prompt: ChatPrompt, capabilities: Collection[str]) -> None:
    """Raises RequestError for tools and thinking that are not among them."""
    require_tools(prompt, capabilities)
    if (prompt.thinking or prompt.thinking_budget is not None) and "thinking" not in capabilities:
        raise unsupported(thinking_param(body), "this model does not support thinking")


def require_tools(prompt: ChatPrompt, capabilities: Collection[str]) -> None:
    """Raises RequestError for tools that a model with these capabilities does not take."""
    if prompt.tools and "tools" not in capabilities:
        raise RequestError("this model does not support tools", param="tools", code="unsupported_parameter")


def thinking_budget(body: ChatBody) -> int | None:
    """After how many tokens a thought is to end."""
    if body.thinking_budget is None and body.reasoning is not None:
        return body.reasoning.max_tokens
    return body.thinking_budget


def thinking_param(body: ChatBody) -> str:
    """The field by which the client asked for thinking."""
    if body.reasoning_effort is not None:
        return "reasoning_effort"
    if body.thinking_budget is not None:
        return "thinking_budget"
    if body.reasoning is not None and body.reasoning.max_tokens is not None:
        return "reasoning.max_tokens"
    return "reasoning.effort" if body.reasoning and body.reasoning.effort else "chat_template_kwargs.enable_thinking"


def _thinking(body: ChatBody, options: dict[str, Any]) -> bool | Literal["low", "medium", "high"] | None:
    enabled = options.pop("enable_thinking", None)
    if enabled is not None and not isinstance(enabled, bool):
        param = "chat_template_kwargs.enable_thinking"
        raise RequestError(f"'{param}' must be true or false", param=param, code="invalid_value")
    effort = body.reasoning_effort
    if effort is None and body.reasoning is not None:
        effort = body.reasoning.effort
    if effort is None:
        return enabled
    if effort not in EFFORTS:
        param = thinking_param(body)
        raise RequestError(f"'{param}' must be one of {', '.join(EFFORTS)}", param=param, code="invalid_value")
    return EFFORTS[effort]


def tools(body: ChatBody) -> tuple[dict[str, Any], ...]:
    """The tools that the model may call: none with `tool_choice` none."""
    offered = body.tools or []
    if len(offered) > MAX_TOOLS:
        raise RequestError(f"'tools' has more than {MAX_TOOLS} entries", param="tools", code="invalid_value")
    checked = tuple(_tool(tool, f"tools[{index}]") for index, tool in enumerate(offered))
    return () if body.tool_choice == "none" else checked


def calling(body: ChatBody) -> Calling:
    """What `tool_choice` and `parallel_tool_calls` say. Raises RequestError."""
    choice, parallel = body.tool_choice, body.parallel_tool_calls is not False
    if choice in (None, "auto", "none"):
        return Calling(parallel=parallel)
    known = {tool.function.name for tool in body.tools or [] if tool.function is not None}
    if not known:
        raise _invalid_choice("it needs 'tools'")
    if choice == "required":
        return Calling(required=True, parallel=parallel)
    wanted = _chosen(choice, parallel)
    for name in wanted.names:
        if name not in known:
            raise _invalid_choice(f"'tools' has no function '{name[:128]}'")
    return wanted


def _chosen(choice: Any, parallel: bool) -> Calling:
    """A choice that names one function, which is called once, or several allowed ones."""
    if not isinstance(choice, dict):
        raise _invalid_choice("use 'auto', 'none', 'required', or an object that names a function")
    if choice.get("type") != "allowed_tools":
        return Calling(required=True, names=(_function_name(choice),), parallel=False)
    allowed = choice.get("allowed_tools", choice)
    entries, mode = (allowed.get("tools"), allowed.get("mode")) if isinstance(allowed, dict) else (None, None)
    if not isinstance(entries, list) or not entries or mode not in ("auto", "required"):
        raise _invalid_choice("'allowed_tools' has a 'mode', auto or required, and a list of 'tools'")
    return Calling(required=mode == "required", names=tuple(map(_function_name, entries)), parallel=parallel)


def _function_name(value: Any) -> str:
    """Of `{"type": "function", "function": {"name": …}}`, or as the Responses API writes it, `{"name": …}`."""
    inner = value.get("function", value) if isinstance(value, dict) and value.get("type") == "function" else None
    name = inner.get("name") if isinstance(inner, dict) else None
    if not isinstance(name, str):
        raise _invalid_choice('it must name a function: {"type": "function", "function": {"name": …}}')
    return name


def _invalid_choice(why: str) -> RequestError:
    return RequestError(f"invalid value for 'tool_choice': {why}", param="tool_choice", code="invalid_value")


def _tool(tool: Tool, where: str) -> dict[str, Any]:
    if tool.type != "function":
        raise unsupported(f"{where}.type", "only 'function' is")
    if tool.function is None:
        param = f"{where}.function"
        raise RequestError(f"missing required field '{param}'", param=param, code="missing_field")
    if not _FUNCTION_NAME.fullmatch(tool.function.name):
        param = f"{where}.function.name"
        raise RequestError(f"invalid value for '{param}'", param=param, code="invalid_value")
    function: dict[str, Any] = plain(msgspec.to_builtins(tool.function), f"{where}.function")
    return {"type": "function", "function": function}


def _message(message: Message, where: str, names: dict[str, str], pictures: RequestPictures) -> dict[str, Any]:
    refuse(message, MESSAGE_FIELDS, f"{where}.", nothing=(b"null",))
    role = "system" if message.role == "developer" else message.role
    result: dict[str, Any] = {"role": role, "content": content(message, where, pictures)}
    if role == "assistant":
        if thinking := message.reasoning_content or message.reasoning:
            result["thinking"] = thinking
        if message.tool_calls:
            result["tool_calls"] = [
                _call(call, f"{where}.tool_calls[{index}]", names) for index, call in enumerate(message.tool_calls)
            ]
    elif role == "tool":
        if message.tool_call_id:
            result["tool_call_id"] = message.tool_call_id
        if name := message.name or names.get(message.tool_call_id or ""):
            result["tool_name"] = name
    return result


def _call(call: Call, where: str, names: dict[str, str]) -> dict[str, Any]:
    param = f"{where}.function.arguments"
    try:
        arguments = msgspec.json.decode(call.function.arguments or "{}", type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise RequestError(
            f"invalid tool call arguments: '{param}' must be the JSON text of an object",
            param=param,
            code="invalid_value",
        ) from None
    if call.id:
        names[call.id] = call.function.name
    function = {"name": call.function.name, "arguments": plain(arguments, param)}
    return {"type": "function", "function": function} | ({"id": call.id} if call.id else {})
