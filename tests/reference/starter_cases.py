"""What the shipped starter is asked when its logits are compared: a fact, a text to copy, a thought, a tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MODEL = Path(__file__).parents[2] / "store" / "builtins" / "starter"
_LAMP = {
    "type": "function",
    "function": {
        "name": "set_lamp",
        "description": "Set a lamp",
        "parameters": {"type": "object", "properties": {"room": {"type": "string"}, "level": {"type": "integer"}}},
    },
}
CASES: dict[str, dict[str, Any]] = {
    "fact": {"conversation": "How do I stop the daemon?", "enable_thinking": False},
    "copy": {"conversation": 'Repeat "Über 42 blorks, née ZQX 🙂"', "enable_thinking": False},
    "thought": {"conversation": "What is 47 + 38?"},
    "tool": {"conversation": "Set the lamp in the attic to 30", "tools": [_LAMP], "enable_thinking": False},
}


def prompt(name: str, tokenizer: Any) -> list[int]:
    given = {**CASES[name], "conversation": [{"role": "user", "content": CASES[name]["conversation"]}]}
    text = tokenizer.apply_chat_template(given.pop("conversation"), tokenize=False, add_generation_prompt=True, **given)
    return list(tokenizer.encode(text, add_special_tokens=False))
