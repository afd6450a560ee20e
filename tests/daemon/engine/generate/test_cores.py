"""All cores are for prompts; a step that decodes leaves one free."""

from __future__ import annotations

from typing import Any

import pytest
from support.engine_wire import ask, run
from support.hashing_network import Make, answer

from mlx_serve.daemon.engine.generate import generator as module
from mlx_serve.daemon.engine.model.load import LanguageModel


@pytest.mark.parametrize("blocking", [True, False])
def test_all_cores_are_wanted_while_prompts_are_read(
    engine: Make, model: LanguageModel, monkeypatch: pytest.MonkeyPatch, blocking: bool
) -> None:
    """For a prompt alone, and beside an answer where that waits for it, as on a CPU; not in a step that decodes."""
    made = engine(tokens_per_step=4)
    made[0]._prefills.blocking = blocking
    wanted: list[bool] = []
    passes: list[tuple[bool, bool, bool]] = []  # whether all cores were wanted, of a prompt, beside an answer
    monkeypatch.setattr(module, "use_all_cores", wanted.append)
    network = type(model.network)
    plain = network.__call__

    def called(self: object, tokens: Any, *given: object, **options: object) -> object:
        passes.append((wanted[-1], tokens.shape[1] > 1, len(made[0]._batch) > 0))
        return plain(self, tokens, *given, **options)

    monkeypatch.setattr(network, "__call__", called)
    prompts = {1: tuple(range(41)), 2: tuple(range(50, 91)), 3: tuple(range(90, 131))}
    waits = [[] for _ in range(60)]
    script = [[ask(1, prompts[1], 30)], *waits[:14], [ask(2, prompts[2], 3)], *waits, [ask(3, prompts[3], 3)]]
    wire = run(made, iter(script))
    for number, count in ((1, 30), (2, 3), (3, 3)):
        assert wire.tokens(number) == answer(prompts[number], count)
    assert {(prompt, beside) for _, prompt, beside in passes} == {(True, False), (True, True), (False, True)}
    for everything, prompt, beside in passes:
        assert everything is (prompt and (blocking or not beside))
    assert wanted.count(True) < len(wanted) / 2, "a step without prompts changes nothing"
