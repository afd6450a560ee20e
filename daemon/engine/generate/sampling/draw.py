"""How one sequence draws its tokens: what the request, the model and the dialect say, resolved into one value."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import Any

from ....parameters import TABLE, Parameter, Parameters
from ....protocol import Sampling

MASK64 = (1 << 64) - 1


@dataclass(kw_only=True)
class Draw(Parameters):
    """The table's parameters, and what is no number: `logprobs` None: none; k >= 0: the chosen token's and the k
    likeliest ones'."""

    logit_bias: dict[int, float] = field(default_factory=dict)
    seed: int = 0
    logprobs: int | None = None

    @property
    def greedy(self) -> bool:
        return self.temperature <= 0.0

    @property
    def penalised(self) -> bool:
        return self.repetition_penalty != 1.0 or self.frequency_penalty != 0.0 or self.presence_penalty != 0.0


def resolve(request: Sampling, model: Sampling, fallback: Sampling, vocabulary: int, logprobs: int | None) -> Draw:
    """The first given value of request, the model's generation_config, the dialect's fallback; else the neutral one."""

    def first(parameter: Parameter) -> float:
        for source in (request, model, fallback):
            value = getattr(source, parameter.name)
            if value is not None:
                return parameter.clamped(value)
        return parameter.neutral

    values: dict[str, Any] = {name: first(parameter) for name, parameter in TABLE.items()}
    draw = Draw(
        **values,
        logit_bias=dict(request.logit_bias),
        seed=secrets.randbits(64) if request.seed is None else request.seed & MASK64,
        logprobs=logprobs,
    )
    if draw.top_k >= vocabulary:
        draw.top_k = 0
    return draw


def choice(draw: Draw, index: int) -> Draw:
    """How choice number `index` draws: with a seed of its own."""
    return draw if index == 0 else replace(draw, seed=(draw.seed + index) & MASK64)
