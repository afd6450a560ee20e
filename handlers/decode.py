"""A request's body: received after the guard has let the request pass, decoded into a typed value, and refused where it
asks for what cannot be done."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Raw
from sanic import Request

from .failure import RequestError

T = TypeVar("T")

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<field>[^`]+)`$")
_ENUM = re.compile(r"^Invalid enum value .*$", re.DOTALL)
_UTF8 = codecs.getincrementaldecoder("utf-8")
_AT_ONCE = 1 << 20
_NOTHING = (b"null", b"false", b"0", b"[]", b"{}")


@dataclass(frozen=True)
class FieldSupport:
    """What becomes of a field that is not served as its dialect has it. `note`: what of it is served, or why not."""

    treatment: Literal["partly", "ignored", "refused"]
    note: str


Fields: TypeAlias = Mapping[str, FieldSupport]
"""One table an endpoint, for the checks and for docs/compatibility.md. Fields that are not in it are served."""


def partly(note: str) -> FieldSupport:
    return FieldSupport("partly", note)


def ignored(note: str) -> FieldSupport:
    return FieldSupport("ignored", note)


def refused(note: str) -> FieldSupport:
    return FieldSupport("refused", note)


def refuse(body: msgspec.Struct, fields: Fields, prefix: str = "", nothing: tuple[bytes, ...] = _NOTHING) -> None:
    """Raises RequestError for the first refused field that asks for something. `nothing` is JSON that does not."""
    for name, field in fields.items():
        if field.treatment != "refused":
            continue
        value = getattr(body, name)
        asks = bytes(value) not in nothing if isinstance(value, Raw) else bool(value)
        if asks:
            raise unsupported(prefix + name, field.note)


def unsupported(param: str, why: str) -> RequestError:
    """A field that is known and cannot be honoured."""
    return RequestError(f"'{param}' is not supported: {why}", param=param, code="unsupported_parameter")


async def receive(request: Request) -> bytes:
    """The whole body, within the HTTP layer's limits. Raises RequestError (415) and what that layer raises."""
    if request.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise RequestError(
            "this content-encoding is not supported; send the body as it is", status=415, code="unsupported_encoding"
        )
    await request.receive_body()  # type: ignore[no-untyped-call]
    body: bytes = request.body
    return body


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Raises RequestError (400) that names the field at fault in `param`."""
    if not body.strip():
        raise RequestError("missing request body", code="missing_body")
    try:
        _check_text(body)
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise misfit(str(error)) from None
    except RecursionError:
        raise RequestError("the body is nested too deeply", code="invalid_json") from None
    except UnicodeDecodeError:
        raise RequestError("the body is not valid UTF-8", code="invalid_json") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise RequestError(f"the body is not valid JSON: {error}", code="invalid_json") from None


def _check_text(body: bytes) -> None:
    """Raises UnicodeDecodeError. The decoder looks at the bytes of texts that it knows, and of no others."""
    if body.isascii():
        return
    checker = _UTF8()
    for start in range(0, len(body), _AT_ONCE):
        checker.decode(body[start : start + _AT_ONCE])
    checker.decode(b"", True)


def misfit(message: str, prefix: str = "") -> RequestError:
    """msgspec's sentence about a field as a refusal. It never repeats the client's value."""
    match = _PLACE.match(message)
    what = match["what"] if match else message
    path = (match["path"] or "$") if match else "$"
    param = (prefix + path[1:]).lstrip(".")
    if missing := _MISSING.match(what):
        param = f"{param}.{missing['field']}".lstrip(".")
        return RequestError(f"missing required field '{param}'", param=param, code="missing_field")
    if _ENUM.match(what):
        what = "not one of the allowed values"
    if not param:
        return RequestError(f"the body must be a JSON object: {what[:1].lower()}{what[1:]}", code="invalid_type")
    return RequestError(f"invalid value for '{param}': {what[:1].lower()}{what[1:]}", param=param, code="invalid_value")
