"""What the answer must look like, as the engine takes it, and what that may cost: bounds that are checked before any
compiler sees it. Whether a schema or an expression compiles, the engine finds out, in a process that may end."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ..daemon.protocol import Grammar
from .failure import RequestError

MAX_BYTES = 64 << 10
MAX_DEPTH = 32
MAX_ITEMS = 1000
MAX_NODES = 5000
MAX_REFS = 256
MAX_PATTERN = 512
MAX_TEXT = 16 << 10


def grammar(source: bytes, param: str) -> Grammar:
    """The grammar of a schema given as JSON text. Raises RequestError naming `param`."""
    if len(source) > MAX_BYTES:
        raise _refused(f"the schema is longer than {MAX_BYTES >> 10} KiB", param)
    try:
        schema = msgspec.json.decode(source)
    except RecursionError:
        raise _refused(f"the schema is deeper than {MAX_DEPTH} levels", param) from None
    except UnicodeDecodeError:
        raise _refused("the schema is not valid UTF-8", param) from None
    except msgspec.DecodeError:
        raise _refused("the schema is not valid JSON", param) from None
    if not isinstance(schema, dict):
        raise _refused("the schema must be a JSON object", param)
    _walk(schema, param)
    return Grammar(type="json_schema", source=source.decode(), param=param)


def text(kind: Literal["regex", "lark"], source: str, param: str) -> Grammar:
    """A regular expression, or a grammar in Lark's or GBNF's notation. Raises RequestError naming `param`."""
    if not source:
        raise _refused("it is empty", param)
    if len(source.encode()) > MAX_TEXT:
        raise _refused(f"it is longer than {MAX_TEXT >> 10} KiB", param)
    return Grammar(type=kind, source=source, param=param)


def choice(texts: list[str], param: str) -> Grammar:
    """One of these texts. Raises RequestError naming `param`."""
    if not texts or not all(texts):
        raise _refused("it must have at least one text, and no empty one", param)
    source = msgspec.json.encode(texts)
    if len(texts) > MAX_ITEMS or len(source) > MAX_BYTES:
        raise _refused(f"it has more than {MAX_ITEMS} texts, or more than {MAX_BYTES >> 10} KiB", param)
    return Grammar(type="choice", source=source.decode(), param=param)


def _walk(schema: dict[str, Any], param: str) -> None:
    nodes = refs = 0
    waiting: list[tuple[Any, int]] = [(schema, 1)]
    while waiting:
        node, depth = waiting.pop()
        nodes += 1
        if nodes > MAX_NODES:
            raise _refused(f"the schema has more than {MAX_NODES} parts", param)
        if depth > MAX_DEPTH:
            raise _refused(f"the schema is deeper than {MAX_DEPTH} levels", param)
        if isinstance(node, dict):
            refs += "$ref" in node
            if refs > MAX_REFS:
                raise _refused(f"the schema has more than {MAX_REFS} references", param)
            pattern = node.get("pattern")
            if isinstance(pattern, str) and len(pattern) > MAX_PATTERN:
                raise _refused(f"a pattern in the schema is longer than {MAX_PATTERN} characters", param)
        if isinstance(node, dict | list):
            if len(node) > MAX_ITEMS:
                raise _refused(f"one part of the schema has more than {MAX_ITEMS} entries", param)
            children = node.values() if isinstance(node, dict) else node
            waiting.extend((child, depth + 1) for child in children if isinstance(child, dict | list))


def _refused(message: str, param: str) -> RequestError:
    return RequestError(f"invalid value for '{param}': {message}", param=param, code="invalid_value")
