"""Messages as chat templates read them, and a last one that goes on: what the template writes after it is cut.

What is accepted there, and what trailing blanks become, follows Transformers (`continue_final_message`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import msgspec

from ...protocol import ChatPrompt
from .text.control_tokens import Marks

TAG = "CONTINUE_FINAL_MESSAGE_TAG "


def template_ready(message: dict[str, Any], marked: Marks) -> dict[str, Any]:
    """A copy whose texts cannot spell a control token, without what is null, with its thoughts under the names that
    templates know.

    The assistant's own turns stay as they are, for templates look for their markers there.
    """
    message = {key: copy.deepcopy(value) for key, value in message.items() if value is not None}
    if not message.get("thinking"):
        message.pop("thinking", None)
    thoughts = next((message[key] for key in ("reasoning_content", "thinking", "reasoning") if key in message), None)
    if thoughts is not None:
        message = {"thinking": thoughts} | message | {"reasoning_content": thoughts}
    if message.get("role") == "tool" and "tool_name" in message:
        message.setdefault("name", message["tool_name"])
    if message.get("role") == "assistant":
        return message
    return {key: value if key == "role" else marked.around(value) for key, value in message.items()}


def tagged(message: dict[str, Any], template: str) -> str:
    """Put a tag behind the message's text, in place, and give the text as it was. Raises ValueError."""
    content = message.get("content")
    if content is None:
        raise ValueError("the last message has no content to continue")
    if "content" not in template:
        raise ValueError("the chat template reads no content")
    if not isinstance(content, list):
        message["content"] = content + TAG
        return str(content)
    for part in reversed(content):
        if "text" in part:
            text = str(part["text"])
            part["text"] = text + TAG
            return text
    raise ValueError("the last message has no text to continue")


def closed_at_tag(rendered: str, text: str) -> str:
    """The rendered chat up to the tag. Raises ValueError where the template left out or changed the text."""
    place = rendered.rfind(TAG.strip())
    if place < 0 or text.strip() not in rendered:
        raise ValueError("the chat template does not show the last message as it is")
    # A template that trims the text has taken the tag's own blank; the blanks before the tag would have gone too.
    return rendered[:place] if rendered[place:].startswith(TAG) else rendered[:place].rstrip()


def with_messages(prompt: ChatPrompt, places: Sequence[int]) -> ChatPrompt:
    """The prompt with these of its messages only, and with their pictures."""
    counts = [_pictures(message) for message in prompt.messages]
    kept = [
        number
        for place in places
        for number in range(sum(counts[:place]), sum(counts[: place + 1]))
        if number < len(prompt.pictures)
    ]
    return msgspec.structs.replace(
        prompt,
        messages=tuple(prompt.messages[place] for place in places),
        pictures=tuple(prompt.pictures[number] for number in kept),
    )


def _pictures(message: dict[str, Any]) -> int:
    content = message.get("content")
    parts = content if isinstance(content, list | tuple) else ()
    return sum(isinstance(part, dict) and part.get("type") == "image" for part in parts)
