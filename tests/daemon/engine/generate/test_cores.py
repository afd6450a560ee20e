"""All cores are for prompts while nobody decodes; a step that decodes leaves one free."""

from __future__ import annotations

import itertools

import pytest
from support.engine_wire import ask, run
from support.hashing_network import Make, answer

from mlx_serve.daemon.engine.generate import generator as module
from mlx_serve.daemon.engine.model.load import LanguageModel


def test_all_cores_are_wanted_while_only_prompts_are_read(
    engine: Make, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a prompt alone; not beside an answer, its own included; and again for the next one alone."""
    made = engine(tokens_per_step=4)
    wanted: list[bool] = []
    passes: list[tuple[bool, bool]] = []  # whether all cores were wanted, and whether a step decoded
    monkeypatch.setattr(module, "use_all_cores", wanted.append)
    network = type(model.network)
    plain = network.__call__

    def called(self: object, tokens: object, *given: object, **options: object) -> object:
        passes.append((wanted[-1], len(made[0]._batch) > 0))
        return plain(self, tokens, *given, **options)

    monkeypatch.setattr(network, "__call__", called)
    prompts = {1: tuple(range(40)), 2: tuple(range(50, 90)), 3: tuple(range(90, 130))}
    waits = [[] for _ in range(60)]
    script = [[ask(1, prompts[1], 30)], *waits[:8], [ask(2, prompts[2], 3)], *waits, [ask(3, prompts[3], 3)]]
    wire = run(made, iter(script))
    for number, count in ((1, 30), (2, 3), (3, 3)):
        assert wire.tokens(number) == answer(prompts[number], count)
    assert all(everything is not decoding for everything, decoding in passes)
    changes = [everything for everything, _ in itertools.groupby(everything for everything, _ in passes)]
    assert changes == [True, False, True, False]
