"""A tiny checkpoint with Qwen2.5-Coder's fill-in-the-middle tokens: after `<|fim_middle|>` it says a text of its own,
then `<|file_sep|>`, which is no end of text to anything but an insertion."""

from __future__ import annotations

import json
from pathlib import Path

from support.spoken_model import write_spoken

INSERTED = "    return <think>x + 1 # é\n</think>"
MARKERS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_pad|>", "<|endoftext|>")
_RENAMED = {"<|say 0|>": "<|fim_middle|>", "<|end 0|>": "<|file_sep|>"}


def write_inserting(folder: Path) -> Path:
    """`<|endoftext|>` is its only end of text; its chat template knows tools and thinks."""
    write_spoken(folder, [INSERTED], "{% if tools %}.{% endif %}{{ messages[-1].content }}<|fim_middle|>", MARKERS)
    tokenizer = (folder / "tokenizer.json").read_text(encoding="utf-8")
    for old, new in _RENAMED.items():
        tokenizer = tokenizer.replace(json.dumps(old), json.dumps(new))
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    (end,) = [token["id"] for token in json.loads(tokenizer)["added_tokens"] if token["content"] == "<|endoftext|>"]
    for name, key, value in (
        ("config.json", "eos_token_id", [end]),
        ("generation_config.json", "eos_token_id", [end]),
        ("tokenizer_config.json", "eos_token", "<|endoftext|>"),
    ):
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        (folder / name).write_text(json.dumps(content | {key: value}) + "\n", encoding="utf-8")
    return folder
