"""Ollama's `options`: their types, their ranges, and the sampling that they stand for. Unknown options are ignored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..daemon.parameters import TABLE
from ..daemon.protocol import Sampling
from .failure import RequestError
from .ranges import stops

_SAMPLING = {row.ollama.name: row for row in TABLE.values() if row.ollama is not None}
TYPES: dict[str, str] = {
    **{name: "integer" if row.integer else "float32" for name, row in _SAMPLING.items()},
    **dict.fromkeys(
        (
            *("num_keep", "seed", "num_predict", "num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread"),
            *("draft_num_predict", "thinking_budget"),
        ),
        "integer",
    ),
    "typical_p": "float32",
    "use_mmap": "boolean",
    "stop": "array",
}
RANGES: dict[str, tuple[float, float]] = {
    **{row.ollama.name: (row.ollama.least, row.ollama.most) for row in TABLE.values() if row.ollama is not None},
    "num_predict": (-(2**31), 2**31 - 1),
    "num_ctx": (-(2**31), 2**31 - 1),
    "seed": (-(2**63), 2**64 - 1),
    "thinking_budget": (0, 2**31 - 1),
}
_MOST = {"integer": 2**63 - 1, "float32": 3.4e38}  # of the others: what Ollama's own types hold
UNUSED = (
    *("num_keep", "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "draft_num_predict"),
    "typical_p",
)
"""Options that are checked and have no effect here."""
_LEAST_CONTEXT = 4
_LEAST_TOP_P = 1e-6
_PENALTIES = ("repetition_penalty", "frequency_penalty", "presence_penalty")


@dataclass(frozen=True)
class Options:
    sampling: Sampling
    stop: tuple[str, ...]
    max_tokens: int | None
    context_length: int | None
    thinking_budget: int | None = None


def options(given: dict[str, Any] | None) -> Options:
    """Raises RequestError in Ollama's words."""
    values = {name: _typed(name, value) for name, value in (given or {}).items() if name in TYPES and value is not None}
    for name, (least, most) in RANGES.items():
        if name in values and not least <= values[name] <= most:
            raise _refused(f'option "{name}" must be between {least:g} and {most:g}', name)
    sampling: dict[str, Any] = {
        row.name: row.clamped(values[name]) for name, row in _SAMPLING.items() if name in values
    }
    if "top_p" in sampling:
        sampling["top_p"] = max(_LEAST_TOP_P, sampling["top_p"])
    if values.get("repeat_last_n") == 0:  # penalties of no tokens; in the table 0 stands for all tokens, Ollama's -1
        sampling |= {name: TABLE[name].neutral for name in _PENALTIES}
    seed = values.get("seed")
    predict = values.get("num_predict", -1)
    context = values.get("num_ctx")
    return Options(
        sampling=Sampling(**sampling, seed=None if seed is None or seed < 0 else seed),
        stop=stops(values.get("stop"), "options.stop"),
        max_tokens=predict if predict > 0 else None,
        context_length=None if context is None else max(_LEAST_CONTEXT, context),
        thinking_budget=values.get("thinking_budget"),
    )


def known(given: dict[str, Any] | None) -> dict[str, Any]:
    """The options that are known, checked, for a model that keeps them. Raises RequestError in Ollama's words."""
    options(given)
    return {name: value for name, value in (given or {}).items() if name in TYPES and value is not None}


def _typed(name: str, value: Any) -> Any:
    kind = TYPES[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and kind in _MOST and name not in RANGES and abs(value) > _MOST[kind]:
        raise _refused(f'option "{name}" must be of type {kind}', name)
    if kind == "integer" and number and (isinstance(value, int) or math.isfinite(value)):
        return int(value)  # Ollama cuts fractions off
    if kind == "float32" and number:
        return value
    if kind == "boolean" and isinstance(value, bool):
        return value
    if kind == "array" and isinstance(value, list):
        if not all(isinstance(item, str) for item in value):
            raise _refused(f'option "{name}" must be of an array of strings', name)
        return value
    raise _refused(f'option "{name}" must be of type {kind}', name)


def _refused(message: str, name: str) -> RequestError:
    return RequestError(message, param=f"options.{name}", code="invalid_value")
