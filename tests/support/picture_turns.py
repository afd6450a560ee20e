"""Conversations with pictures, asked of an engine in this process, turn after turn; and what they cost it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference.vision_models import parts
from support.engine_wire import GREEDY, Wire, generator, run
from support.watched_logits import watch

from mlx_serve.daemon.engine.generate.disk import open_disk
from mlx_serve.daemon.engine.generate.engine_limits import Limits
from mlx_serve.daemon.engine.generate.generator import Generator
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prompt.prompt_process import Ready
from mlx_serve.daemon.protocol import Ask, ChatPrompt, Generate, Hello, Picture, PrefixFiles, Reread, Started

PLENTY = 1 << 30
TOLERANCE = 1e-3
_HELLO = Hello(protocol=0, pid=0, backend="cpu", device="this one", device_memory=PLENTY)


def chat(said: Sequence[str], pictures: Sequence[Picture]) -> ChatPrompt:
    """`said` by the user and the assistant in turn; # stands for the place of a picture."""
    messages = tuple(
        {"role": "assistant" if place % 2 else "user", "content": parts(text) if "#" in text else text}
        for place, text in enumerate(said)
    )
    return ChatPrompt(messages=messages, pictures=tuple(pictures))


@dataclass(frozen=True)
class Answer:
    """`prompt` and `tokens` of the answer, and the `logits` that these were drawn from, a row each; `cached` of the
    prompt were not read."""

    prompt: list[int]
    tokens: list[int]
    logits: NDArray[np.float32]
    cached: int
    reread: Reread | None

    def check(self, other: Answer) -> None:
        """It is the same, however much of the prompt was not read."""
        assert self.prompt == other.prompt and self.tokens == other.tokens
        np.testing.assert_allclose(self.logits, other.logits, rtol=0, atol=TOLERANCE)


class _Longer(Wire):
    """`more`: tokens that follow a prepared prompt, by the id of its request."""

    more: dict[int, list[int]]

    def _ready(self, ask: Ask) -> Ready:
        ready = super()._ready(ask)
        tokens = [*ready.prepared.tokens, *self.more.get(ask.id, ())]
        return replace(ready, prepared=replace(ready.prepared, tokens=tokens))


class PictureTurns:
    """`prefixes` bytes are for what was read before, and files in `folder`, if there is one."""

    def __init__(
        self, model: LanguageModel, *, prefixes: int = PLENTY, folder: Path | None = None, budget: int = 24
    ) -> None:
        self.wire = _Longer(model)
        self.wire.more = {}
        disk = None if folder is None else open_disk(model, PrefixFiles(str(folder), "model", PLENTY), _HELLO)
        prompts = generator(model, self.wire, prefixes=0)._prompts
        self.engine = Generator(model, Limits(max_batch=4, tokens_per_step=budget, prefixes=prefixes), prompts, disk)
        self.engine.pipelining.certain = 0
        self.engine._pace.fresh._fitting.extend([budget] * 4)
        self._rows = watch(self.engine)
        self._number = 0

    def asks(self, *turns: tuple[Sequence[str], Sequence[Picture]], **options: Any) -> list[Ask]:
        given: dict[str, Any] = {"sampling": GREEDY, "max_tokens": 6, "want_context": True, "ignore_eos": True}
        first = self._number + 1
        self._number += len(turns)
        return [
            Ask(id=first + place, work=Generate(prompt=chat(*turn), **(given | options)))
            for place, turn in enumerate(turns)
        ]

    def answer(
        self, said: Sequence[str], pictures: Sequence[Picture], more: Sequence[int] = (), **options: Any
    ) -> Answer:
        """`more` tokens follow the prompt, such as an answer to the letter."""
        self.wire.more[self._number + 1] = list(more)
        (answer,) = self.answers((said, pictures), **options)
        return answer

    def answers(self, *turns: tuple[Sequence[str], Sequence[Picture]], **options: Any) -> list[Answer]:
        """To what arrives together."""
        asks = self.asks(*turns, **options)
        run((self.engine, self.wire), iter([asks]))
        return [self._answer(ask.id) for ask in asks]

    def _answer(self, number: int) -> Answer:
        finished = self.wire.finished(number)
        (reread,) = [event.reread for event in self.wire.events[number] if isinstance(event, Started)]
        context, length = list(finished.context or ()), finished.prompt_tokens
        logits = np.stack(self._rows[number][: len(context) - length])
        return Answer(context[:length], context[length:], logits, finished.cached_tokens, reread)
