"""The chat format of starter-vl in Python, cut where the model's turns begin; chat_template.jinja says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATE = (Path(__file__).parent / "chat_template.jinja").read_text().rstrip("\n")
PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"


def _content(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "".join(PICTURE if part["type"] == "image" else part["text"] for part in content)


def pieces(messages: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    """The conversation in order; True marks what the model writes itself."""
    out: list[tuple[str, bool]] = []
    head = ""
    for message in messages:
        head += f"<|im_start|>{message['role']}\n"
        body = _content(message["content"]) + "<|im_end|>"
        if message["role"] == "assistant":
            out += [(head, False), (body, True)]
            head = "\n"
        else:
            head += body + "\n"
    return out


def prompt(messages: list[dict[str, Any]]) -> str:
    """All that stands before the last answer."""
    return "".join(text for text, _ in pieces(messages)[:-1])
