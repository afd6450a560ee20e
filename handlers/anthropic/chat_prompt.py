"""A conversation of Anthropic's, as chat templates expect it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from ...daemon.protocol import ChatPrompt
from ..decode import unsupported
from ..failure import RequestError
from ..openai.messages import require_tools
from ..pictures.request_pictures import RequestPictures
from ..ranges import plain
from . import thoughts
from .block_content import Placed, content, joined, placed, said, text_of
from .blocks import Block
from .bodies import Conversation, Message, invalid, missing
from .tool_offers import Offer

BILLING = "x-anthropic-billing-header:"
_CHANGES = ("tool_addition", "tool_removal")


def chat_prompt(body: Conversation, offered: list[Offer], pictures: RequestPictures) -> ChatPrompt:
    """The prompt without its pictures, which go into `pictures`. Raises RequestError naming the field."""
    messages: list[dict[str, Any]] = []
    if system := _system(body.system):
        messages.append({"role": "system", "content": system})
    names: dict[str, str] = {}
    last_user = max((place for place, each in enumerate(body.messages) if each.role == "user"), default=-1)
    for index, message in enumerate(body.messages):
        where = f"messages[{index}]"
        if message.role == "user":
            _add_user(messages, message, where, names, pictures)
        elif message.role == "assistant":
            _add(messages, _assistant(message, where, names))
        else:
            text = _text(message.content, f"{where}.content")
            if text and not (message.clear_at == "next_user_message" and index < last_user):
                messages.append({"role": "system", "content": text})
    if not messages:
        raise invalid("messages", "they say nothing")
    continued = _continued(body, messages)
    return ChatPrompt(
        messages=tuple(messages),
        tools=tuple(offer.function for offer in offered),
        thinking=thoughts.wanted(body),
        thinking_budget=thoughts.budget(body),
        continue_last=continued,
    )


def settled(prompt: ChatPrompt, capabilities: Collection[str]) -> ChatPrompt:
    """As a model with these capabilities has it: thinking is ignored by one that cannot, for clients ask it of every
    model. Raises RequestError for tools that it does not take."""
    require_tools(prompt, capabilities)
    if "thinking" in capabilities:
        return prompt
    return msgspec.structs.replace(prompt, thinking=None, thinking_budget=None)


def _system(given: str | list[Block] | None) -> str:
    """Without what Claude Code puts in front: it differs between conversations, which could share no prefix."""
    if given is None:
        return ""
    if isinstance(given, str):
        return _without_billing(given)
    blocks = placed(given, "system")
    if blocks and blocks[0][1].type == "text":
        (where, first), *others = blocks
        left = _without_billing(first.text or "")
        blocks = [(where, msgspec.structs.replace(first, text=left)), *others] if left else others
    return _texts(blocks)


def _without_billing(text: str) -> str:
    """The first line is left out where it is the header."""
    return text.partition("\n")[2] if text.startswith(BILLING) else text


def _text(given: str | list[Block], where: str) -> str:
    """Of a system prompt: text alone. Changes of tools are no text."""
    return given if isinstance(given, str) else _texts(placed(given, where))


def _texts(blocks: list[Placed]) -> str:
    for where, block in blocks:
        if block.type not in ("text", *_CHANGES):
            raise unsupported(f"{where}.type", "a system prompt has blocks of type 'text'")
    return str(content([each for each in blocks if each[1].type == "text"], None))


def _add(messages: list[dict[str, Any]], message: dict[str, Any]) -> None:
    """Turns of one role that follow each other are one, as Anthropic's API has it: many templates want them to take
    turns."""
    last = messages[-1] if messages else {}
    if last.get("role") != message["role"] or message["role"] == "tool":
        messages.append(message)
        return
    last["content"] = joined(last["content"], message["content"])
    if message.get("thinking"):
        last["thinking"] = "\n\n".join(filter(None, (last.get("thinking"), message["thinking"])))
    if message.get("tool_calls"):
        last["tool_calls"] = [*last.get("tool_calls", ()), *message["tool_calls"]]


def _add_user(
    messages: list[dict[str, Any]], message: Message, where: str, names: dict[str, str], pictures: RequestPictures
) -> None:
    """The results of tools come first, each as a message of its own."""
    if isinstance(message.content, str):
        _add(messages, {"role": "user", "content": message.content})
        return
    blocks = placed(message.content, f"{where}.content")
    for param, block in blocks:
        if block.type == "tool_result":
            _add(messages, _result(param, block, names, pictures))
    if spoken := [each for each in blocks if each[1].type != "tool_result"]:
        _add(messages, {"role": "user", "content": content(spoken, pictures)})
    elif not blocks:
        raise invalid(f"{where}.content", "it is empty")


def _result(where: str, block: Block, names: dict[str, str], pictures: RequestPictures) -> dict[str, Any]:
    if not block.tool_use_id:
        raise missing(f"{where}.tool_use_id")
    given = block.content or ""
    if isinstance(given, list):
        given = [_named(each, f"{where}.content[{index}]") for index, each in enumerate(given)]
    result = said(given, f"{where}.content", pictures)
    if block.is_error:
        result = joined("The tool reports an error:", result)
    message = {"role": "tool", "content": result, "tool_call_id": block.tool_use_id}
    if block.tool_use_id in names:
        message["tool_name"] = names[block.tool_use_id]
    return message


def _named(block: Block, where: str) -> Block:
    """A reference to a tool that was found, in words."""
    if block.type != "tool_reference":
        return block
    if not block.tool_name:
        raise missing(f"{where}.tool_name")
    return Block(type="text", text=f"The tool {block.tool_name} can be called now.")


def _assistant(message: Message, where: str, names: dict[str, str]) -> dict[str, Any]:
    if isinstance(message.content, str):
        return {"role": "assistant", "content": message.content}
    texts: list[str] = []
    thinking: list[str] = []
    calls: list[dict[str, Any]] = []
    for param, block in placed(message.content, f"{where}.content"):
        if block.type == "text":
            texts.append(text_of(param, block))
        elif block.type == "thinking":
            if block.thinking is None:
                raise missing(f"{param}.thinking")
            thinking.append(thoughts.recalled(block))
        elif block.type == "tool_use":
            calls.append(_call(param, block, names))
        elif block.type != "redacted_thinking":
            raise unsupported(f"{param}.type", f"the assistant's messages have no blocks of type '{block.type[:64]}'")
    result: dict[str, Any] = {"role": "assistant", "content": "".join(texts)}
    if thought := "\n\n".join(filter(None, thinking)):
        result["thinking"] = thought
    if calls:
        result["tool_calls"] = calls
    return result


def _call(where: str, block: Block, names: dict[str, str]) -> dict[str, Any]:
    for name in ("id", "name", "input"):
        if getattr(block, name) is None:
            raise missing(f"{where}.{name}")
    assert block.id is not None and block.name is not None
    names[block.id] = block.name
    function = {"name": block.name, "arguments": plain(block.input, f"{where}.input")}
    return {"type": "function", "function": function, "id": block.id}


def _continued(body: Conversation, messages: list[dict[str, Any]]) -> bool:
    """Whether the answer goes on from the assistant's own last message; one that says nothing is taken away. Raises
    RequestError."""
    place = len(body.messages) - 1
    last = messages[-1]
    if body.messages[place].role != "assistant" or last["role"] != "assistant":
        return False
    if "tool_calls" in last:
        raise RequestError(
            f"invalid value for 'messages[{place}]': it ends with a tool_use; send the tool_result for it",
            param=f"messages[{place}]",
            code="invalid_value",
        )
    if last["content"]:
        return True
    if len(messages) == 1:
        raise invalid("messages", "they say nothing")
    del messages[-1]
    return False
