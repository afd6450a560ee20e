"""Texts that stand in a call as they are, up to a marker: any one, or one that a schema allows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from llguidance import regex_to_lark

from ..answer_rules import ASCII, bound
from ..literals import BadGrammar, Literals

_ANY = "(?s:.)"
_CLASS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]")


def text_rules(
    name: str, end: str, schema: Mapping[str, Any], literals: Literals, never: Iterable[str] = ()
) -> list[str]:
    """The rule of this name, and what it needs: a text with the schema's length and patterns, and after it `end`.
    `never`: expressions for what the text must not contain. Raises BadGrammar."""
    pieces = literals.pieces(end)
    place = next((place for place, piece in enumerate(pieces) if literals.is_special(piece)), -1)
    # A special token ends the text by itself, and cannot stand in it: letters that spell one can.
    stop = pieces[place] if place >= 0 else end
    wanted = [*_wanted(schema), *(f"~/{_ANY}*{each}{_ANY}*/" for each in (*never, spelled(stop)) if each)]
    body = f"({' & '.join(wanted)})"
    if place < 0:
        return [f"{name}[suffix={literals.piece(end)}]: {body}"] if end else [f"{name}: {body}"]
    before, after = pieces[:place], pieces[place:]
    terminal = f"{name}_text".upper()
    return [
        " ".join([f"{name}: {terminal}", *map(literals.piece, after)]),
        " ".join([f"{terminal}: {body}", *map(literals.piece, before)]),
    ]


def spelled(text: str) -> str:
    """An expression for a text."""
    escaped = re.sub(r"[\\.+*?()|\[\]{}^$/]", lambda found: "\\" + found[0], text)
    return escaped.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def _wanted(schema: Mapping[str, Any]) -> list[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", "")
    length = f"{{{least},{most}}}" if least or most != "" else "*"
    if most != "":
        bound(f".{length}")
    return [f"/{_ANY}{length}/", *(f"/{_whole(each)}/" for each in schema.get("pattern", ()))]


def _whole(pattern: str) -> str:
    """JSON Schema's patterns are found anywhere in a text, but for their anchors. Raises BadGrammar."""
    bound(pattern)
    bare = _CLASS.sub(lambda part: "x" * len(part[0]), pattern)
    begins, ends = bare.startswith("^"), bare.endswith("$")
    inner = pattern[begins : len(pattern) - ends]
    bare = bare[begins : len(bare) - ends]
    if "^" in bare or "$" in bare or ((begins or ends) and _splits(bare)):
        raise BadGrammar(f"the anchors of the pattern {pattern[:80]} cannot be kept in this model's notation")
    found: str = regex_to_lark(f"(?:{inner})", ASCII)
    return f"{'' if begins else _ANY + '*'}{found}{'' if ends else _ANY + '*'}"


def _splits(bare: str) -> bool:
    """Whether an expression has alternatives at its top."""
    depth = 0
    for letter in bare:
        depth += (letter == "(") - (letter == ")")
        if letter == "|" and depth == 0:
            return True
    return False
