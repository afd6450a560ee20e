"""Conversations whose logits Transformers and mlx-lm are compared on; each side renders and tokenizes by itself."""

from __future__ import annotations

from typing import Any

COLUMNS = 64  # of the logits; every one of the vocabulary would be a large file

_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather for a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def conversations() -> list[dict[str, Any]]:
    """Arguments of apply_chat_template."""
    long = [{"role": ("user", "assistant")[at % 2], "content": f"Number {at}, please."} for at in range(61)]
    return [
        {"conversation": [{"role": "user", "content": "What does mlx-serve ps show?"}], "enable_thinking": False},
        {"conversation": [{"role": "user", "content": "Grüße, 你好 🙂 \t 3.14"}], "enable_thinking": True},
        {"conversation": [{"role": "user", "content": "What's the weather like in Lisbon?"}], "tools": [_TOOL]},
        {
            "conversation": [
                {"role": "system", "content": "Answer in one word."},
                {"role": "user", "content": "My name is Farid."},
                {"role": "assistant", "content": "Farid."},
                {"role": "user", "content": "What is my name?"},
            ],
            "enable_thinking": False,
        },
        {"conversation": long, "enable_thinking": False},
    ]


def columns(vocabulary: int) -> list[int]:
    """Those of the logits that are kept."""
    return list(range(0, vocabulary, max(1, vocabulary // COLUMNS)))
