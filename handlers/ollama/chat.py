"""POST /api/chat."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from ...daemon.protocol import ChatPrompt
from ..decode import unsupported
from ..durations import keep_alive
from ..endpoint import decoded
from ..failure import RequestError
from ..pictures.request_pictures import SEEING_ROLES, RequestPictures
from ..ranges import plain
from . import bodies
from .answer_lines import Lines
from .bodies import Call, ChatBody, Message, Tool
from .generation import (
    able,
    allowed_thinking,
    check_parts,
    lease,
    load_or_unload,
    requested,
    require_tools,
    run,
    thinking_budget,
)

_FUNCTION_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
_ROLES = ("system", "user", "assistant", "tool")


async def chat(request: Request) -> HTTPResponse | None:
    body = await decoded(request, bodies.chat_decoder) or ChatBody()
    bodies.check(body)
    name = body.model or ""
    if not name:
        raise RequestError("model is required", param="model", code="missing_field")
    seconds = keep_alive(body.keep_alive)
    lines = Lines("chat", name, with_logprobs=bool(body.logprobs))
    tools = tuple(_tool(tool, index) for index, tool in enumerate(body.tools or ()))
    if not body.messages:
        check_parts(body)
        return await load_or_unload(request, lines, name, seconds, "chat")
    pictures = RequestPictures()
    prompt = ChatPrompt(
        messages=template_messages(body.messages, pictures),
        tools=tools,
        thinking=bodies.thinking(body),
        thinking_budget=thinking_budget(body),
        drop_oldest=body.truncate is not False,
    )
    wanted = msgspec.structs.replace(requested(body, prompt), parse_tools=bool(tools))
    body.messages.clear()  # their pictures may be large, and the request may wait for long
    stream = body.stream is not False
    check = able(body, name, tools=bool(tools))
    async with lease(request, name, seconds, "chat", lines if stream else None, pictures, check) as model:
        if tools:
            require_tools(model.installed, model.capabilities)
        prompt = msgspec.structs.replace(prompt, thinking=allowed_thinking(body, name, model.capabilities))
        wanted = pictures.into(msgspec.structs.replace(wanted, prompt=prompt))
        return await run(request, model, wanted, lines, stream=stream)


def template_messages(messages: list[Message], pictures: RequestPictures | None = None) -> tuple[dict[str, Any], ...]:
    """Messages as the engine's chat prompt takes them; their pictures go into `pictures`, None: they may have none.
    Raises RequestError."""
    names: dict[str, str] = {}
    return tuple(_message(message, index, names, pictures) for index, message in enumerate(messages))


def _message(message: Message, index: int, names: dict[str, str], pictures: RequestPictures | None) -> dict[str, Any]:
    role = message.role.lower()
    role = "system" if role == "developer" else role
    if role not in _ROLES:
        param = f"messages[{index}].role"
        raise RequestError(f"'{param}' must be one of {', '.join(_ROLES)}", param=param, code="invalid_value")
    result: dict[str, Any] = {"role": role, "content": message.content or ""}
    if message.images:
        param = f"messages[{index}].images"
        if pictures is None:
            raise unsupported(param, "the messages of a model are text")
        if role not in SEEING_ROLES:
            raise unsupported(param, f"pictures may be in messages of the roles user and tool, not {role}")
        result["content"] = with_pictures(message.content, message.images, param, pictures)
    if message.thinking and role == "assistant":
        result["thinking"] = message.thinking
    if message.tool_calls and role == "assistant":
        result["tool_calls"] = [_call(call, f"messages[{index}].tool_calls", names) for call in message.tool_calls]
    if name := message.tool_name or names.get(message.tool_call_id or ""):
        result["tool_name"] = name
    if message.tool_call_id:
        result["tool_call_id"] = message.tool_call_id
    return result


def with_pictures(text: str | None, images: list[str], param: str, pictures: RequestPictures) -> list[dict[str, Any]]:
    """Content with its pictures before its text, as Ollama has it. Raises RequestError."""
    parts = [pictures.add_base64(image, f"{param}[{number}]") for number, image in enumerate(images)]
    return [*parts, {"type": "text", "text": text}] if text else parts


def _call(call: Call, where: str, names: dict[str, str]) -> dict[str, Any]:
    function = {"name": call.function.name, "arguments": plain(call.function.arguments, where)}
    if call.id:
        names[call.id] = call.function.name
    return {"type": "function", "function": function} | ({"id": call.id} if call.id else {})


def _tool(tool: Tool, index: int) -> dict[str, Any]:
    name = tool.function.get("name")
    if not isinstance(name, str) or not _FUNCTION_NAME.fullmatch(name):
        param = f"tools[{index}].function.name"
        raise RequestError(f"invalid value for '{param}'", param=param, code="invalid_value")
    return {"type": "function", "function": plain(tool.function, f"tools[{index}].function")}
