"""Ollama's `options`: their types, their ranges, and the sampling that they stand for. Unknown options are ignored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..daemon.protocol import Sampling
from .failure import RequestError
from .ranges import stops

TYPES: dict[str, str] = {
    **dict.fromkeys(
        (
            "num_keep",
            "seed",
            "num_predict",
            "top_k",
            "repeat_last_n",
            "num_ctx",
            "num_batch",
            "num_gpu",
            "main_gpu",
            "num_thread",
            "draft_num_predict",
        ),
        "integer",
    ),
    **dict.fromkeys(
        (
            "top_p",
            "min_p",
            "typical_p",
            "temperature",
            "repeat_penalty",
            "presence_penalty",
            "frequency_penalty",
        ),
        "float32",
    ),
    "use_mmap": "boolean",
    "stop": "array",
}
RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 100),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "repeat_penalty": (0.01, 10),
    "presence_penalty": (-10, 10),
    "frequency_penalty": (-10, 10),
    "top_k": (-(2**31), 2**31 - 1),
    "repeat_last_n": (-1, 2**31 - 1),
    "num_predict": (-(2**31), 2**31 - 1),
    "num_ctx": (-(2**31), 2**31 - 1),
    "seed": (-(2**63), 2**64 - 1),
}
UNUSED = (
    *("num_keep", "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "draft_num_predict"),
    "typical_p",
)
"""Options that are checked and have no effect here."""
_LEAST_CONTEXT = 4
_LEAST_TOP_P = 1e-6
_ALL = 2**31 - 1


@dataclass(frozen=True)
class Options:
    sampling: Sampling
    stop: tuple[str, ...]
    max_tokens: int | None
    context_length: int | None


def options(given: dict[str, Any] | None) -> Options:
    """Raises RequestError in Ollama's words."""
    values = {name: _typed(name, value) for name, value in (given or {}).items() if name in TYPES and value is not None}
    for name, (least, most) in RANGES.items():
        if name in values and not least <= values[name] <= most:
            raise _refused(f'option "{name}" must be between {least:g} and {most:g}', name)
    window = values.get("repeat_last_n")
    top_p = values.get("top_p")
    seed = values.get("seed")
    predict = values.get("num_predict", -1)
    context = values.get("num_ctx")
    return Options(
        sampling=Sampling(
            temperature=values.get("temperature"),
            top_k=None if "top_k" not in values else max(0, values["top_k"]),
            top_p=None if top_p is None else max(_LEAST_TOP_P, top_p),
            min_p=values.get("min_p"),
            repetition_penalty=1.0 if window == 0 else values.get("repeat_penalty"),
            frequency_penalty=0.0 if window == 0 else values.get("frequency_penalty"),
            presence_penalty=0.0 if window == 0 else values.get("presence_penalty"),
            penalty_window=None if not window else (_ALL if window < 0 else window),
            seed=None if seed is None or seed < 0 else seed,
        ),
        stop=stops(values.get("stop"), "options.stop"),
        max_tokens=predict if predict > 0 else None,
        context_length=None if context is None else max(_LEAST_CONTEXT, context),
    )


def known(given: dict[str, Any] | None) -> dict[str, Any]:
    """The options that are known, checked, for a model that keeps them. Raises RequestError in Ollama's words."""
    options(given)
    return {name: value for name, value in (given or {}).items() if name in TYPES and value is not None}


def _typed(name: str, value: Any) -> Any:
    kind = TYPES[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "integer" and number:
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
