"""A few made-up requests before the first real one: GPUs compile kernels for an operation when they first meet it.

Not only the forward pass: a batch also scatters new keys into its caches, copies rows that join, moves rows when one
leaves, and draws with what each row asks for. The requests take the way of all requests, so nothing is left out by
being forgotten here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...protocol import Ask, Generate, Sampling, TokenPrompt
from ..generate.engine_limits import Limits
from ..generate.generator import Generator
from ..generate.prefilling.pace import Timings
from ..model.load import LanguageModel
from ..prompt.prepared import Prepared
from ..prompt.prompt_process import Ready

PENALTIES: dict[str, Any] = {"repetition_penalty": 1.1, "frequency_penalty": 0.1, "presence_penalty": 0.1}


def made_up(length: int, tokens: int, logprobs: int | None = None, **sampling: Any) -> Generate:
    """A prompt of so many tokens, all alike, and an answer of so many, greedy where nothing else is said."""
    prompt = TokenPrompt(ids=(0,) * length)
    drawn = Sampling(**({"temperature": 0.0} | sampling))
    return Generate(prompt=prompt, sampling=drawn, max_tokens=tokens, logprobs=logprobs, ignore_eos=True)


REQUESTS = (
    made_up(3, 9, temperature=0.0),
    made_up(4, 5, temperature=1.0, logprobs=2),
    made_up(4, 6, temperature=0.7, top_p=0.9),
    made_up(4, 4, temperature=0.7, top_k=20, top_p=0.9, min_p=0.05),
    made_up(6, 6, temperature=0.0, logprobs=0, logit_bias={0: -1.0}, **PENALTIES),
    made_up(5, 5, temperature=1.0, penalty_window=2, **PENALTIES),
)
"""The first one alone, the others beside it. Few tokens, for a context may be of sixteen."""

LONG_TOKENS = 64
LONG = made_up(LONG_TOKENS, 1, temperature=0.0)
"""A prompt of so many tokens that a mixture of experts sorts them by expert; where the context has room for it."""

PLAIN = (REQUESTS[0], made_up(4, 5, temperature=1.0))
"""Those that are enough where a compiled operation takes seconds: NVIDIA's compiler, with nothing on disk yet. Rarer
ways to draw, and log-probabilities, are compiled when somebody asks for them, once for all loads."""


class _Prepared:
    """Stands for the prompt process: these prompts need none."""

    busy = 0

    def put(self, ask: Ask) -> None:
        raise ValueError("a made-up request comes in prepared")

    def cancel(self, number: int) -> bool:
        return False

    def claim(self, number: int) -> bool:
        return True


def warm_up(model: LanguageModel, limits: Limits, requests: Sequence[Generate] = REQUESTS) -> None:
    """Run these to their ends: the first one alone, then the others beside it. Raises what a step raises."""
    long = [LONG] if requests is REQUESTS and model.context_length > 2 * LONG_TOKENS else []
    run_all(model, limits, [*requests, *long], first_alone=True)


def run_all(
    model: LanguageModel,
    limits: Limits,
    requests: Sequence[Generate],
    *,
    first_alone: bool = False,
    timings: Timings | None = None,
) -> None:
    """Run made-up requests to their ends, all at once; `timings` learn what their prompts took. Raises what a step
    raises."""
    worker = Generator(model, limits, _Prepared(), timings=timings)
    for number, request in enumerate(requests):
        worker.receive(Ready(number, _prepared(request)))
        while first_alone and not number and not worker.gauges().running:
            worker.step()
    while not worker.idle:
        worker.step()
        worker.drain()


def _prepared(request: Generate) -> Prepared:
    assert isinstance(request.prompt, TokenPrompt)
    return Prepared(
        request=request,
        tokens=list(request.prompt.ids),
        room=request.max_tokens or 1,
        truncated=False,
        inside_reasoning=False,
        rendered="",
    )
