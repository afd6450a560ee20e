"""Refusals of fields of a response's body, and the parts of it that are read from values."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from ..decode import misfit
from ..failure import RequestError
from ..jsontext import encode
from ..ranges import plain

T = TypeVar("T")

_ROOM = 8  # levels of a response's document around what is echoed in it


def invalid(param: str, why: str) -> RequestError:
    return RequestError(f"invalid value for '{param}': {why}", param=param, code="invalid_value")


def missing(param: str) -> RequestError:
    return RequestError(f"missing required field '{param}'", param=param, code="missing_field")


def converted(value: Any, decoder: msgspec.json.Decoder[T], param: str) -> T:
    """A part of the body that was decoded as plain JSON, typed as the decoder has it. Raises RequestError naming the
    field under `param`."""
    try:
        return msgspec.convert(value, decoder.type)
    except msgspec.ValidationError as error:
        raise misfit(str(error), param) from None
    except RecursionError:
        raise invalid(param, "it is nested too deeply") from None


def echoed(value: T, param: str) -> T:
    """The value, which can be put into the answer. Raises RequestError for what is too deep or too large for that."""
    plain(value, param)
    around: Any = value
    for _ in range(_ROOM):
        around = [around]
    try:
        encode(around)
    except TypeError:
        raise invalid(param, "a number in it is too large, or it is nested too deeply") from None
    return value
