"""Rows in a batch beside twins in plain caches: whatever joins and leaves, each row keeps the logits it has alone."""

from __future__ import annotations

import random
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache
from reference.architectures import VOCABULARY

from mlx_serve.daemon.engine.model.bucket import without
from mlx_serve.daemon.engine.model.forward import BatchedForward, Forward, SoloForward
from mlx_serve.daemon.engine.model.inputs import Inputs
from mlx_serve.daemon.engine.model.load import LanguageModel

TOLERANCE = 1e-4
DEAR = 10**12  # a forward pass that costs so much is never done twice: all rows share their buffers


class Twins:
    """The rows under test, and beside them one sequence each in plain caches of its own."""

    def __init__(self, model: LanguageModel, seed: int, forward: Forward | None = None) -> None:
        self.model, self.network = model, model.network
        self.forward: Any = forward or BatchedForward(model.network, DEAR)
        self.chance = random.Random(seed)
        self.plain: list[list[Any]] = []

    def tokens(self, count: int) -> list[int]:
        return [self.chance.randrange(VOCABULARY) for _ in range(count)]

    def join(
        self, *lengths: int, chunk: int = 1000, without: int | None = None, alike: int = 0, choices: int = 1
    ) -> None:
        """Sequences of so many tokens, of which the first `alike` are the same, prefilled side by side (padded on the
        right) in chunks; each stands in so many rows. Row `without` of them is not wanted any more."""
        beginning = self.tokens(alike)
        prompts = [beginning[:length] + self.tokens(max(0, length - alike)) for length in lengths]
        caches = make_prompt_cache(self.network)
        for start in range(0, max(lengths), chunk):
            parts = [prompt[start : start + chunk] for prompt in prompts]
            width = max(map(len, parts))
            self.network(mx.array([part + [0] * (width - len(part)) for part in parts]), cache=caches)
        wanted = [row for row in range(len(lengths)) if row != without for _ in range(choices)]
        self.forward.join(caches, [(row, lengths[row]) for row in wanted], 0, min(alike, *lengths, 1 << 30))
        for prompt in [prompts[row] for row in wanted]:
            self.plain.append(make_prompt_cache(self.network))
            for start in range(0, len(prompt), chunk):
                self.network(mx.array([prompt[start : start + chunk]]), cache=self.plain[-1])

    def leave(self, *rows: int) -> None:
        """All at once."""
        self.forward.leave(rows)
        self.plain = without(self.plain, rows)

    def step(self) -> None:
        """One token a row; the logits must be the twin's."""
        tokens = self.tokens(len(self.plain))
        logits = np.array(self.forward(Inputs(mx.array(tokens)[:, None])))
        for row, (token, cache) in enumerate(zip(tokens, self.plain, strict=True)):
            alone = np.array(self.network(mx.array([[token]]), cache=cache)[0, -1])
            np.testing.assert_allclose(logits[row], alone, rtol=0, atol=TOLERANCE, err_msg=f"row {row}")


def play(twins: Twins, moves: int, longest: int, *, alike: bool = False) -> None:
    """Random joins, leaves and steps, as a busy server sees them; the batch empties now and then. With `alike` some
    that join together begin alike, or are answers to one prompt."""
    chance = twins.chance
    for _ in range(moves):
        kind = chance.random()
        if len(twins.plain) < 6 and (kind < 0.3 or not twins.plain):
            size = chance.randint(1, longest)
            group = chance.randint(1, 3)
            lengths = [chance.randint(1, size) if twins.model.paddable else size for _ in range(group)]
            if not isinstance(twins.forward, SoloForward):
                common = (
                    {"alike": chance.choice([0, min(lengths)]), "choices": chance.choice([1, 1, 2])} if alike else {}
                )
                twins.join(*lengths, chunk=chance.choice([5, 16, 1000]), **common)
            else:
                twins.join(lengths[0], chunk=chance.choice([5, 16, 1000]))
        elif kind < 0.5 and twins.plain:
            twins.leave(*chance.sample(range(len(twins.plain)), chance.randint(1, min(2, len(twins.plain)))))
        elif kind < 0.53:
            while twins.plain:
                twins.leave(chance.randrange(len(twins.plain)))
        if twins.plain:
            twins.step()
