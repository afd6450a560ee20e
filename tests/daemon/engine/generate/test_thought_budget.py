"""A thought of so many tokens and no more: the block is closed in the batch, and the answer begins."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from support.engine_wire import GREEDY, ask, run
from support.hashing_network import ROWS, TABLE, Hashing, Make, answer, follow

from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.output.formats.table import find_family
from mlx_serve.daemon.protocol import Ask, ChatPrompt, Generate, Grammar

OPENED = "{{ messages[0].content }}<think>"
ROOM = 40


def think(number: int, budget: int | None, template: str = OPENED, text: str = "why?", **options: Any) -> Ask:
    prompt = ChatPrompt(messages=({"role": "user", "content": text},), template=template, thinking_budget=budget)
    given: dict[str, Any] = {"ignore_eos": True, "want_context": True, "max_tokens": ROOM} | options
    return Ask(id=number, work=Generate(prompt=prompt, sampling=GREEDY, **given))


@pytest.fixture
def model(llama: LanguageModel) -> LanguageModel:
    tokenizer = copy.deepcopy(llama.tokenizer)
    tokenizer.chat_template = OPENED
    changed = replace(llama, tokenizer=tokenizer, family=find_family(OPENED))
    return replace(changed, network=Hashing(), rows=ROWS, batchable=True, paddable=False, ragged=False)


def ids(model: LanguageModel, text: str) -> list[int]:
    return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])


def expected(prompt: list[int], forced_at: int, forced: list[int]) -> list[int]:
    """Greedy tokens, but the forced ones from their place on."""
    state = 0
    for token in prompt:
        state = follow(state, token)
    tokens: list[int] = []
    while len(tokens) < ROOM:
        place = len(tokens) - forced_at
        tokens.append(forced[place] if 0 <= place < len(forced) else int(TABLE[state].argmax()))
        state = follow(state, tokens[-1])
    return tokens


@pytest.mark.parametrize("budget", [0, 1, 2, 7])
def test_the_block_is_closed_after_so_many_tokens(engine: Make, model: LanguageModel, budget: int) -> None:
    """Whenever a step is launched; what comes after follows from the closing marker, and rows beside it, with and
    without a budget, say what they say alone."""
    wire = run(
        engine(), iter([[think(1, budget), ask(2, (5, 6, 7)), think(3, budget + 3, text="how?"), think(4, None)]])
    )
    closing = ids(model, "\n</think>\n\n")
    for number, budgeted, text in ((1, budget, "why?"), (3, budget + 3, "how?")):
        prompt = ids(model, text + "<think>")
        assert wire.tokens(number) == expected(prompt, budgeted, closing)
        assert wire.finished(number).reasoning_tokens <= budgeted + len(closing)
        assert "".join(event.text for event in wire.deltas(number))
    assert wire.tokens(2) == answer((5, 6, 7), 12)
    free = "".join(event.text for event in wire.deltas(4))
    assert not free and wire.tokens(4) == expected(ids(model, "why?<think>"), ROOM, [])


def test_a_model_that_does_not_think_is_left_alone(engine: Make, model: LanguageModel) -> None:
    """Its first words are no thought: nothing is forced."""
    wire = run(engine(), iter([[think(1, 2, "{{ messages[0].content }}{# <think> #}")]]))
    assert wire.tokens(1) == expected(ids(model, "why?"), ROOM, [])


def test_a_thought_that_closes_by_itself_is_not_closed_twice(engine: Make, model: LanguageModel) -> None:
    """The prompt closes it."""
    wire = run(engine(), iter([[think(1, 3, OPENED + "x</think>")]]))
    assert wire.tokens(1) == expected(ids(model, "why?<think>x</think>"), ROOM, [])


def test_together_with_a_grammar(engine: Make) -> None:
    """The thought ends, and the answer is what the grammar asks for."""
    grammar = Grammar(type="json_schema", source='{"enum": ["yes", "no"]}')
    wire = run(engine(), iter([[think(1, 4, grammar=grammar, ignore_eos=False)]]))
    assert json.loads("".join(event.text for event in wire.deltas(1))) in ("yes", "no")
    assert wire.finished(1).reason == "stop"
    assert wire.finished(1).reasoning_tokens >= 4
