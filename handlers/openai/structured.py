"""What an answer must look like, in the spellings of OpenAI (`response_format`) and of vLLM (`structured_outputs` and,
before it, `guided_json`, `guided_regex`, `guided_choice`, `guided_grammar`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ...daemon.protocol import Grammar
from .. import json_schema as schema
from ..decode import unsupported
from ..failure import RequestError

Absent = Raw | UnsetType
_NOTHING = (b"null", b"")


class JSONSchema(msgspec.Struct):
    name: str | None = None
    schema: Absent = UNSET
    strict: bool | None = None


class ResponseFormat(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchema | None = None


class StructuredOutputs(msgspec.Struct):
    json: Absent = UNSET
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    structural_tag: Absent = UNSET


class Structured(Protocol):
    """A body with the fields that say so."""

    response_format: ResponseFormat | None
    structured_outputs: StructuredOutputs | None
    guided_json: Absent
    guided_regex: str | None
    guided_choice: list[str] | None
    guided_grammar: str | None
    regex: str | None
    choice: list[str] | None


def grammar(body: Structured) -> Grammar | None:
    """Raises RequestError: for what is wrong with the one that is given, and where there are two."""
    given = list(_given(body))
    if len(given) > 1:
        first, second = given[0].param, given[1].param
        raise _invalid(second, f"'{first}' says already what the answer must look like; give one of them")
    return given[0] if given else None


def _given(body: Structured) -> Iterator[Grammar]:
    if (formatted := _response_format(body.response_format)) is not None:
        yield formatted
    wanted = body.structured_outputs
    if wanted is not None:
        if isinstance(wanted.structural_tag, Raw) and bytes(wanted.structural_tag) not in _NOTHING:
            raise unsupported("structured_outputs.structural_tag", "use 'tools'")
        yield from _json(wanted.json, "structured_outputs.json")
        yield from _texts(wanted.regex, wanted.choice, wanted.grammar, "structured_outputs.")
        if wanted.json_object:
            yield Grammar(type="json", param="structured_outputs.json_object")
    yield from _json(body.guided_json, "guided_json")
    yield from _texts(body.guided_regex, body.guided_choice, body.guided_grammar, "guided_")
    yield from _texts(body.regex, body.choice, None, "")


def _response_format(value: ResponseFormat | None) -> Grammar | None:
    if value is None or value.type == "text":
        return None
    if value.type == "json_object":
        return Grammar(type="json", param="response_format")
    param = "response_format.json_schema"
    if value.json_schema is None:
        raise RequestError(f"missing required field '{param}'", param=param, code="missing_field")
    source = value.json_schema.schema
    if not isinstance(source, Raw) or bytes(source) == b"null":
        raise RequestError(f"missing required field '{param}.schema'", param=f"{param}.schema", code="missing_field")
    return schema.grammar(bytes(source), f"{param}.schema")


def _json(value: Absent, param: str) -> Iterator[Grammar]:
    """A schema, as an object or as its JSON text."""
    source = bytes(value) if isinstance(value, Raw) else b""
    if source in _NOTHING:
        return
    if source.startswith(b'"'):
        source = msgspec.json.decode(source, type=str).encode()
    yield schema.grammar(source, param)


def _texts(regex: str | None, choice: list[str] | None, lark: str | None, prefix: str) -> Iterator[Grammar]:
    if regex is not None:
        yield schema.text("regex", regex, f"{prefix}regex")
    if choice is not None:
        yield schema.choice(choice, f"{prefix}choice")
    if lark is not None:
        yield schema.text("lark", lark, f"{prefix}grammar")


def _invalid(param: str, why: str) -> RequestError:
    return RequestError(f"invalid value for '{param}': {why}", param=param, code="invalid_value")
