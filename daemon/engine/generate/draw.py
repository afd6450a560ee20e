"""How one sequence draws its tokens: what the request, the model and the dialect say, resolved into one value."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace

from ...protocol import Sampling

MASK64 = (1 << 64) - 1


@dataclass
class Draw:
    """How one sequence draws its tokens, every default resolved. `penalty_window` 0: all generated tokens."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalty_window: int = 0
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

    def pick(name: str, neutral: float) -> float:
        for source in (request, model, fallback):
            value = getattr(source, name)
            if value is not None:
                return float(value)
        return neutral

    top_k = int(pick("top_k", 0))
    window = int(pick("penalty_window", 0))
    return Draw(
        temperature=pick("temperature", 1.0),
        top_k=0 if top_k <= 0 or top_k >= vocabulary else top_k,
        top_p=min(1.0, pick("top_p", 1.0)),
        min_p=min(1.0, pick("min_p", 0.0)),
        repetition_penalty=pick("repetition_penalty", 1.0),
        frequency_penalty=pick("frequency_penalty", 0.0),
        presence_penalty=pick("presence_penalty", 0.0),
        penalty_window=max(0, window),
        logit_bias=dict(request.logit_bias),
        seed=secrets.randbits(64) if request.seed is None else request.seed & MASK64,
        logprobs=logprobs,
    )


def choice(draw: Draw, index: int) -> Draw:
    """How choice number `index` draws: with a seed of its own."""
    return draw if index == 0 else replace(draw, seed=(draw.seed + index) & MASK64)
