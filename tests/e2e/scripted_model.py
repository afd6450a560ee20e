"""A tiny checkpoint that says what a script says: real weights, real tokenizer, real template, known words.

The last character of a prompt (in a chat: of the last message) names the script. Each piece of a script is one token of
its own, and the weights map every token to its successor: the embedding tells tokens apart, attention and MLP add
nothing, and the head points from each token to the next. So the text is known, at any temperature up to 1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from reference.tokenizer_files import alphabet, bpe
from support.table_model import table_config, write_table

VOCABULARY = 512
CONTEXT = 1 << 18
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKERS = ("<tool_call>", "</tool_call>")
CERTAINTY = 3.0  # times sqrt(VOCABULARY): the distance between the logit of the next token and all others
TEMPLATE = """\
{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}{% endfor %}<|im_end|>
{% endif -%}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}{% for tool_call in message.tool_calls or [] %}<tool_call>{{ tool_call.name }}</tool_call>\
{% endfor %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{{ messages[-1].content[-1:] }}{% endif %}"""


@dataclass(frozen=True)
class Script:
    """`pieces` are tokens; after the last comes piece number `again`, or the end of the turn."""

    name: str
    pieces: tuple[str | bytes, ...]
    again: int | None = None

    @property
    def text(self) -> str:
        """What it says once."""
        return b"".join(_bytes(piece) for piece in self.pieces).decode()

    def beginning(self, tokens: int) -> str:
        """What the first so many tokens say."""
        pieces = list(self.pieces)
        while self.again is not None and len(pieces) < tokens:
            pieces += self.pieces[self.again :]
        return b"".join(_bytes(piece) for piece in pieces[:tokens]).decode(errors="replace")


def _cycle(name: str, word: str, count: int) -> Script:
    """Goes round for ever, in words that no other script has."""
    return Script(name, tuple(f" {word}{number}" for number in range(count)), again=0)


HELLO = Script("H", ("Hello", ",", " wor", "ld", "!"))
SMILE = Script("S", (" a", b"\xf0\x9f", b"\x98", b"\x80", " z"))
CALL = Script(
    "C",
    (
        "Let me",
        " look. ",
        "<tool_call>",
        '\n{"name": "weather", ',
        '"arguments": {"',
        'city": ',
        '"Rome"}}\n',
        "</tool_call>",
    ),
)
BROKEN_CALL = Script("B", (" Well: ", "<tool", "_call>", '\n{"name": "wea', "ther, oops"))
LESS_THAN = Script("L", ("if", " b", " <"))
ENDLESS = tuple(_cycle(name, name.lower(), 12) for name in "PQRTUVWX")
SCRIPTS = (HELLO, SMILE, CALL, BROKEN_CALL, LESS_THAN, *ENDLESS)


def _bytes(piece: str | bytes) -> bytes:
    return piece if isinstance(piece, bytes) else piece.encode()


def write_scripted(folder: Path) -> Path:
    """A model that knows SCRIPTS, in Hugging Face's layout."""
    folder.mkdir(parents=True)
    ids = _vocabulary()
    end = ids[SPECIAL[2]]
    after = np.full(VOCABULARY, end)
    for script in SCRIPTS:
        tokens = [ids[_spelled(piece)] for piece in script.pieces]
        following = [*tokens[1:], end if script.again is None else tokens[script.again]]
        for token, successor in zip([ids[script.name], *tokens], [tokens[0], *following], strict=True):
            if after[token] not in (end, successor):
                raise ValueError(f"token {token} of script {script.name} has another successor already")
            after[token] = successor
    _write_weights(folder, after)
    files = {
        "config.json": table_config(VOCABULARY, VOCABULARY, CONTEXT, end),
        "generation_config.json": {"eos_token_id": end},
        "tokenizer.json": _tokenizer(ids),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": SPECIAL[2],
            "pad_token": SPECIAL[0],
            "model_max_length": CONTEXT,
            "clean_up_tokenization_spaces": False,
            "chat_template": TEMPLATE,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return folder


def _spelled(piece: str | bytes) -> str:
    """A piece as the vocabulary writes it."""
    letters = alphabet()
    return "".join(letters[byte] for byte in _bytes(piece))


def _vocabulary() -> dict[str, int]:
    """Bytes first, then every piece, filler, and the special tokens last."""
    ids = {letter: index for index, letter in enumerate(alphabet())}
    for piece in (piece for script in SCRIPTS for piece in script.pieces):
        if piece not in MARKERS:
            ids.setdefault(_spelled(piece), len(ids))
    first_special = VOCABULARY - len(SPECIAL) - len(MARKERS)
    while len(ids) < first_special:
        ids[f"Ġfiller{len(ids)}"] = len(ids)
    if len(ids) > first_special:
        raise ValueError(f"the scripts have more pieces than a vocabulary of {VOCABULARY} holds")
    for name in (*MARKERS, *SPECIAL):
        ids[name] = len(ids)
    return ids


def _tokenizer(ids: dict[str, int]) -> dict[str, Any]:
    added = (*MARKERS, *SPECIAL)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": ids[name], "content": name, "special": name in SPECIAL, **flags} for name in added],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": bpe({name: index for name, index in ids.items() if name not in added}, []),
    }


def _write_weights(folder: Path, after: np.ndarray[Any, Any]) -> None:
    head = np.zeros((VOCABULARY, VOCABULARY), np.float32)
    head[after, np.arange(VOCABULARY)] = CERTAINTY
    write_table(folder, np.eye(VOCABULARY, dtype=np.float32), head)
