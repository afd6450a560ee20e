"""Qwen3's chat format: the Jinja template that ships, and the same in Python for training, where speed matters."""

# ruff: noqa: E501 - texts are kept as they come out

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .sample import Sample
from .tool.tools import written

TEMPLATE = (Path(__file__).parent / "chat_template.jinja").read_text()
_TOOLS_HEAD = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
_TOOLS_TAIL = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)


def pieces(sample: Sample) -> list[tuple[str, bool]]:
    """The conversation in pieces, each with whether the assistant writes it; the last ends before `<|im_end|>`'s newline.

    The last turn comes in the form in which generation meets it: an empty think block belongs to the prompt.
    """
    messages, tools = sample.messages, sample.tools
    out: list[tuple[str, bool]] = []
    head = ""
    system = messages[0]["content"] if messages[0]["role"] == "system" else None
    if tools:
        listed = "".join("\n" + json.dumps(tool, ensure_ascii=False) for tool in tools)
        told = "" if system is None else system + "\n\n"
        head = f"<|im_start|>system\n{told}{_TOOLS_HEAD}{listed}{_TOOLS_TAIL}<|im_end|>\n"
    elif system is not None:
        head = f"<|im_start|>system\n{system}<|im_end|>\n"
    query = max(i for i, message in enumerate(messages) if message["role"] == "user")
    for i, message in enumerate(messages):
        role = message["role"]
        if role == "user" or (role == "system" and i):
            head += f"<|im_start|>{role}\n{message['content']}<|im_end|>\n"
        elif role == "tool":
            if messages[i - 1]["role"] != "tool":
                head += "<|im_start|>user"
            head += f"\n<tool_response>\n{message['content']}\n</tool_response>"
            if i + 1 == len(messages) or messages[i + 1]["role"] != "tool":
                head += "<|im_end|>\n"
        elif role == "assistant":
            last = i + 1 == len(messages)
            thought = message.get("reasoning_content", "")
            calls = [written(**call["function"]) for call in message.get("tool_calls", [])]
            body = "\n".join([*filter(None, [message["content"]]), *calls])
            head += "<|im_start|>assistant\n"
            if last and not sample.thinking:
                head += "<think>\n\n</think>\n\n"
            elif last or (i > query and thought):
                body = f"<think>\n{thought}\n</think>\n\n{body}"
            out += [(head, False), (body + "<|im_end|>", True)]
            head = "\n"
    return out


def prompt(sample: Sample) -> str:
    """All that stands before the last turn."""
    return "".join(text for text, _ in pieces(sample)[:-1])


def arguments(sample: Sample) -> dict[str, Any]:
    """What to hand to apply_chat_template for the same prompt."""
    return {
        "conversation": sample.messages[:-1],
        "tools": sample.tools or None,
        "add_generation_prompt": True,
        "enable_thinking": sample.thinking,
    }
