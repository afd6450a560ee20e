"""Insertions in the engine: where they end, which only they do, and in which batches."""

from __future__ import annotations

from typing import Any

import pytest
from support.engine_wire import GREEDY, Wire, generator, run
from support.inserting_model import INSERTED, write_inserting

from mlx_serve.daemon.engine.generate.generator import Generator
from mlx_serve.daemon.engine.model.load import LanguageModel, load
from mlx_serve.daemon.protocol import Ask, ChatPrompt, Generate, Grammar, Load, Prompt, TextPrompt

MARKED = "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>"
HOLE = TextPrompt(text="def f(x):\n", suffix="\n")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = write_inserting(tmp_path_factory.mktemp("inserting") / "model")
    made, told = load(Load(path=str(folder), name="x", kind="llm", max_batch=8, prefill_tokens_per_step=64))
    assert "insert" in told.capabilities
    return made


@pytest.fixture(params=["read first", "pipelined"])
def engine(model: LanguageModel, request: pytest.FixtureRequest) -> tuple[Generator, Wire]:
    """Whether a step is launched before the last one's tokens are read."""
    wire = Wire(model)
    made = generator(model, wire)
    made.pipelining.certain = (1 << 40) if request.param == "pipelined" else 0
    return made, wire


def ask(number: int, prompt: Prompt, **options: Any) -> Ask:
    given: dict[str, Any] = {"sampling": GREEDY, "max_tokens": 60, "split_reasoning": False} | options
    return Ask(id=number, work=Generate(prompt=prompt, **given))


def said(wire: Wire, number: int) -> str:
    return "".join(delta.text for delta in wire.deltas(number))


def test_it_ends_at_the_familys_markers(engine: tuple[Generator, Wire]) -> None:
    """The marker is neither text nor counted; beside it in one batch, the same tokens sent as plain text go on behind
    the marker, and so does an insertion that ignores ends."""
    wire = run(
        engine,
        iter([[ask(1, HOLE), ask(2, TextPrompt(text=MARKED)), ask(3, HOLE, ignore_eos=True, max_tokens=40)]]),
    )
    assert said(wire, 1) == INSERTED and wire.finished(1).reason == "stop"
    for number in (2, 3):
        assert said(wire, number).startswith(INSERTED) and len(said(wire, number)) > len(INSERTED)
        assert wire.finished(number).completion_tokens > wire.finished(1).completion_tokens
    assert wire.finished(3).completion_tokens == 40


def test_stop_strings_limits_choices_and_logprobs(engine: tuple[Generator, Wire]) -> None:
    """As for any completion; a chosen token's probability for each token that is counted."""
    wire = run(
        engine,
        iter([[ask(1, HOLE, stop=("x +",)), ask(2, HOLE, max_tokens=3), ask(3, HOLE, choices=3, logprobs=1)]]),
    )
    assert said(wire, 1) == INSERTED[: INSERTED.index("x +")] and wire.finished(1).stop_sequence == "x +"
    assert wire.finished(2).reason == "length" and INSERTED.startswith(said(wire, 2))
    for choice in range(3):
        deltas = [event for event in wire.choices[3, choice] if hasattr(event, "logprobs")]
        assert "".join(delta.text for delta in deltas) == INSERTED
        assert sum(len(delta.logprobs) for delta in deltas) == wire.finished(3, choice).completion_tokens


def test_a_grammar_binds_an_insertion(engine: tuple[Generator, Wire]) -> None:
    grammar = Grammar(type="choice", source='["yes", "no"]')
    wire = run(engine, iter([[ask(1, HOLE, grammar=grammar)]]))
    assert said(wire, 1) in ("yes", "no") and wire.finished(1).reason == "stop"


def test_a_chat_goes_on_behind_the_markers(engine: tuple[Generator, Wire]) -> None:
    wire = run(engine, iter([[ask(1, ChatPrompt(messages=({"role": "user", "content": "a"},)))]]))
    assert said(wire, 1).startswith(INSERTED) and len(said(wire, 1)) > len(INSERTED)


def test_a_model_without_the_markers_has_no_ends(llama: LanguageModel, model: LanguageModel) -> None:
    assert not llama.insertion_ends and "insert" not in llama.capabilities
    ids = model.tokenizer.convert_tokens_to_ids(["<|file_sep|>", "<|fim_pad|>", "<|endoftext|>"])
    assert set(ids) <= model.insertion_ends and not model.insertion_ends & set(range(256))
    assert model.stop_tokens == {ids[2]}
