"""What a JSON schema may cost: its bounds are checked before any compiler sees it.

The grammar compiler recurses in C; a few hundred kilobytes of `required` names or `$ref` chain end its process.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..daemon.protocol import Grammar
from .failure import RequestError

MAX_BYTES = 64 << 10
MAX_DEPTH = 32
MAX_ITEMS = 1000
MAX_NODES = 5000
MAX_REFS = 256
MAX_PATTERN = 512


def grammar(source: bytes, param: str) -> Grammar:
    """The grammar of a schema given as JSON text. Raises RequestError naming `param`."""
    if len(source) > MAX_BYTES:
        raise _refused(f"the schema is longer than {MAX_BYTES >> 10} KiB", param)
    try:
        schema = msgspec.json.decode(source)
    except RecursionError:
        raise _refused(f"the schema is deeper than {MAX_DEPTH} levels", param) from None
    except msgspec.DecodeError:
        raise _refused("the schema is not valid JSON", param) from None
    if not isinstance(schema, dict):
        raise _refused("the schema must be a JSON object", param)
    _walk(schema, param)
    return Grammar(type="json_schema", source=source.decode())


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
