"""The ranges of numbers and texts that clients send, as types for msgspec and checks for what types cannot express."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from .failure import RequestError

T = TypeVar("T")

MAX_STOPS = 16
MAX_BIASES = 1024

TokenCount = Annotated[int, Meta(ge=1, le=2**31 - 1)]
TokenCountOrZero = Annotated[int, Meta(ge=0, le=2**31 - 1)]
MAX_CHOICES = 128
ChoiceCount = Annotated[int, Meta(ge=1, le=MAX_CHOICES)]
TopLogprobs = Annotated[int, Meta(ge=0, le=20)]
LegacyLogprobs = Annotated[int, Meta(ge=0, le=5)]
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
Biases = Annotated[dict[str, Bias], Meta(max_length=MAX_BIASES)]
ModelName = Annotated[str, Meta(max_length=512)]
Label = Annotated[str, Meta(max_length=256)]

_TOKEN_ID = re.compile(r"[0-9]{1,10}")
_OPTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_RENDERER_KEYWORDS = frozenset(
    {
        *("messages", "conversation", "tools", "documents", "chat_template", "template", "self"),
        *("add_generation_prompt", "continue_final_message", "add_special_tokens", "tokenize", "tokenizer_kwargs"),
        *("padding", "truncation", "max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask"),
        *("bos_token", "eos_token", "pad_token", "unk_token", "raise_exception", "strftime_now"),
        *("loop", "range", "namespace", "cycler", "joiner", "lipsum", "dict", "caller", "varargs", "kwargs"),
    }
)


def stops(value: str | list[str] | None, param: str = "stop") -> tuple[str, ...]:
    """Stop strings: at most 16, each 1 to 1,024 characters."""
    if value is None:
        return ()
    texts = [value] if isinstance(value, str) else value
    if len(texts) > MAX_STOPS:
        raise RequestError(f"'{param}' has more than {MAX_STOPS} strings", param=param, code="invalid_value")
    for text in texts:
        if not 1 <= len(text) <= 1024:
            raise RequestError(
                f"each string of '{param}' must have 1 to 1024 characters", param=param, code="invalid_value"
            )
    return tuple(texts)


def seed(value: int | None, param: str = "seed") -> int | None:
    """A signed or unsigned 64-bit number, as unsigned."""
    if value is None:
        return None
    if not -(2**63) <= value < 2**64:
        raise RequestError(f"'{param}' must be a 64-bit integer", param=param, code="invalid_value")
    return value & (2**64 - 1)


def biases(value: dict[str, float] | None) -> dict[int, float]:
    result: dict[int, float] = {}
    for key, bias in (value or {}).items():
        if not _TOKEN_ID.fullmatch(key) or int(key) >= 2**31:
            raise RequestError("the keys of 'logit_bias' must be token ids", param="logit_bias", code="invalid_value")
        result[int(key)] = bias
    return result


def plain(value: T, param: str) -> T:
    """JSON that can be sent to the engine: no number beyond 64 bits, no deep nesting."""
    try:
        msgspec.msgpack.encode(value)
    except (OverflowError, RecursionError):
        raise RequestError(
            f"invalid value for '{param}': a number in it is too large, or it is nested too deeply",
            param=param,
            code="invalid_value",
        ) from None
    return value


def template_options(value: dict[str, Any] | None, param: str = "chat_template_kwargs") -> dict[str, Any]:
    """Plain values for the chat template, under names that the renderer does not use itself."""
    result: dict[str, Any] = {}
    for name, item in (value or {}).items():
        where = f"{param}.{name[:64]}"
        if not _OPTION_NAME.fullmatch(name) or name in _RENDERER_KEYWORDS or len(result) >= 32:
            raise RequestError(
                f"'{where}' cannot be passed to the chat template", param=where, code="unsupported_value"
            )
        if isinstance(item, int) and not isinstance(item, bool) and not -(2**63) <= item < 2**63:
            raise RequestError(f"'{where}' is too large", param=where, code="invalid_value")
        if not isinstance(item, str | bool | int | float) or (isinstance(item, str) and len(item) > 1024):
            raise RequestError(
                f"'{where}' must be a short string, a boolean or a number", param=where, code="invalid_value"
            )
        result[name] = item
    return result
