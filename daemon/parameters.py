"""The sampling parameters: name, type, neutral value, range, and what each dialect calls them. Knows nothing else.

One field of `Parameters` is one row of the table. The engine resolves requests and filters by it, the dialects check
what clients send by it; a new parameter is a field here, one of `protocol.Sampling`, and its arithmetic in the sampler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, get_type_hints

LARGEST_INTEGER = 2**31 - 1


@dataclass(frozen=True)
class Field:
    """What one dialect calls a parameter, and the least and the greatest value that it takes from clients. `above`: the
    least value itself is not taken."""

    name: str
    least: float
    most: float
    above: bool = False


@dataclass(frozen=True)
class Parameter:
    """A row of the table. `neutral` changes nothing; `least` and `most` are what the sampler computes with, and values
    beyond them are taken for the nearest one. `recommended`: a model's generation_config.json may set it, under this
    name. `openai`, `ollama`: None where the dialect has no such parameter."""

    name: str
    integer: bool
    neutral: float
    least: float
    most: float
    recommended: bool
    openai: Field | None
    ollama: Field | None

    def clamped(self, value: float) -> float:
        """The value as the sampler takes it."""
        value = min(max(value, self.least), self.most)
        return int(value) if self.integer else float(value)


def _row(
    neutral: Any,
    *,
    least: float = float("-inf"),
    most: float = float("inf"),
    recommended: bool = False,
    openai: Field | None = None,
    ollama: Field | None = None,
) -> Any:
    metadata = {"least": least, "most": most, "recommended": recommended, "openai": openai, "ollama": ollama}
    return field(default=neutral, metadata=metadata)


@dataclass(kw_only=True)
class Parameters:
    """The table's values for one sequence, every one resolved.

    `temperature` 0 is greedy. `top_k` 0, `top_p` 1 and `min_p` 0 keep every token. `penalty_window`: how many of the
    newest generated tokens the penalties count, 0 for all.
    """

    temperature: float = _row(
        1.0, recommended=True, openai=Field("temperature", 0, 2), ollama=Field("temperature", 0, 100)
    )
    top_k: int = _row(
        0,
        least=0,
        recommended=True,
        openai=Field("top_k", -1, LARGEST_INTEGER),
        ollama=Field("top_k", -LARGEST_INTEGER - 1, LARGEST_INTEGER),
    )
    top_p: float = _row(
        1.0,
        most=1,
        recommended=True,
        openai=Field("top_p", 0, 1, above=True),
        ollama=Field("top_p", 0, 1),
    )
    min_p: float = _row(0.0, most=1, recommended=True, openai=Field("min_p", 0, 1), ollama=Field("min_p", 0, 1))
    repetition_penalty: float = _row(
        1.0,
        recommended=True,
        openai=Field("repetition_penalty", 0, 10, above=True),
        ollama=Field("repeat_penalty", 0.01, 10),
    )
    frequency_penalty: float = _row(
        0.0, openai=Field("frequency_penalty", -2, 2), ollama=Field("frequency_penalty", -10, 10)
    )
    presence_penalty: float = _row(
        0.0, openai=Field("presence_penalty", -2, 2), ollama=Field("presence_penalty", -10, 10)
    )
    penalty_window: int = _row(0, least=0, ollama=Field("repeat_last_n", -1, LARGEST_INTEGER))


def _table() -> Mapping[str, Parameter]:
    types, neutral = get_type_hints(Parameters), Parameters()
    return MappingProxyType(
        {
            one.name: Parameter(
                name=one.name,
                integer=types[one.name] is int,
                neutral=getattr(neutral, one.name),
                **one.metadata,
            )
            for one in fields(Parameters)
        }
    )


TABLE = _table()
