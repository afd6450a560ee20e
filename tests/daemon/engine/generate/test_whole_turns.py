"""Models whose caches nobody knows how to cut: whole turns are reused, by copies that a trial has shown to work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import ConcatenateKVCache, KVCache
from support.disk_engine import PLENTY, tokens
from support.engine_wire import Wire, ask, generator, run
from support.small_blocks import blocks_of
from support.uncut_models import CONFIGS, uncut

from mlx_serve.daemon.engine.generate.disk import open_disk
from mlx_serve.daemon.engine.generate.generator import Generator
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prefix.whole_state import WholeState, copies_work
from mlx_serve.daemon.protocol import Hello, PrefixFiles, Reread, Started

NAMES = list(CONFIGS)
SIZE = 8
PROMPT = tokens(61, 1)

Made = Callable[[str], LanguageModel]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks_of(SIZE, monkeypatch)


@pytest.fixture(scope="module")
def made(llama: LanguageModel) -> Made:
    models = {name: uncut(name, llama) for name in NAMES}
    return lambda name: models[name]


class Asked:
    """An engine that is asked one prompt after the other."""

    def __init__(self, model: LanguageModel, prefixes: int = PLENTY, *, pipelined: bool = False) -> None:
        self.wire = Wire(model)
        self.engine: Generator = generator(model, self.wire, prefixes=prefixes, tokens_per_step=24)
        self.engine.pipelining.certain = (1 << 40) if pipelined else 0
        self.number = 0

    def answer(self, prompt: tuple[int, ...], count: int = 12) -> tuple[list[int], int, Reread | None]:
        """The answer, how much of the prompt was not read, and why more was read than need be."""
        self.number += 1
        run((self.engine, self.wire), iter([[ask(self.number, prompt, count)]]))
        (started,) = [event for event in self.wire.events[self.number] if isinstance(event, Started)]
        return self.wire.tokens(self.number), self.wire.finished(self.number).cached_tokens, started.reread

    @property
    def states(self) -> list[WholeState]:
        kept = self.engine._reuse.kept
        assert kept is not None
        return [one for block in kept._blocks.values() for one in block.snapshots or ()]


@pytest.mark.parametrize(("name", "pipelined"), [*((name, False) for name in NAMES), ("llama4", True)])
def test_turns_of_a_conversation(made: Made, name: str, pipelined: bool) -> None:
    """Each turn is the one before, its answer and some more, and reads what is new. The answers are those of an engine
    that keeps nothing, the first time and again, so no state was changed by those that went on from it."""
    asked, plain = Asked(made(name), pipelined=pipelined), Asked(made(name), prefixes=0)
    assert asked.engine.reuse == "turns"
    prompts, prompt, known = [], PROMPT, 0
    for turn in range(3):
        answer, cached, reread = asked.answer(prompt, count=6)
        assert answer == plain.answer(prompt, count=6)[0] and reread is None
        assert cached == (known - 1 if turn else 0)  # the last token of an answer is in no cache
        prompts.append((prompt, answer))
        known = len(prompt) + len(answer)
        prompt = (*prompt, *answer, *tokens(9, turn + 2))
    for prompt, answer in prompts:
        assert asked.answer(prompt, count=6) == (answer, len(prompt) - 1, None)
    assert asked.engine.audit() is None


def test_prompts_that_part_in_the_middle(made: Made) -> None:
    """The first one reads everything, and the log says why; the next one goes on from where that one had parted."""
    asked, plain = Asked(made("llama4")), Asked(made("llama4"), prefixes=0)
    asked.answer(PROMPT)
    other, third = ((*PROMPT[:45], *tokens(20, seed)) for seed in (7, 8))
    answer, cached, reread = asked.answer(other)
    assert cached == 0 and reread == Reread(len(PROMPT) + 11, 45, 0, "only whole turns are kept")
    assert answer == plain.answer(other)[0]
    answer, cached, _ = asked.answer(third)
    assert cached == 45 and answer == plain.answer(third)[0]


def test_states_are_within_the_memory_for_them(made: Made) -> None:
    """There are none within a long prompt, and the oldest go first; what does not fit by itself is not kept."""
    asked = Asked(made("llama4"))
    asked.answer(tokens(180, 3))
    assert len(asked.states) == 2  # at the prompt's end, and at the answer's
    limit = 2 * asked.engine._reuse.nbytes
    little = Asked(made("llama4"), prefixes=limit)
    for seed in range(6):
        little.answer(tokens(180, seed))
        assert little.engine._reuse.nbytes <= limit
    assert little.engine._reuse.evictions > 0 and little.answer(tokens(180, 5))[1] == 179
    assert little.answer(tokens(180, 0))[1] == 0
    none = Asked(made("llama4"), prefixes=limit // 20)
    none.answer(PROMPT)
    assert none.answer(PROMPT)[1] == 0


def test_copies_share_memory_until_one_of_them_changes(made: Made) -> None:
    """The arrays of a state count once, however many go on from it at the same time."""
    network = made("llama4").network
    caches = network.make_cache()
    mx.eval(network(mx.array([list(range(100))]), cache=caches))
    before = mx.get_active_memory()
    state = WholeState(caches, 100)
    copies = [state.caches() for _ in range(8)]
    mx.eval([cache.state[:2] for one in copies for cache in one[:3]], state.arrays)
    assert sum(one.nbytes for one in state.arrays) > 100_000 > mx.get_active_memory() - before


class Outside(KVCache):  # type: ignore[misc]
    """Keeps a count where no copy takes it along."""

    counts: dict[str, int] = {"tokens": 0}  # noqa: RUF012

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        self.counts["tokens"] += keys.shape[2]
        shift = self.counts["tokens"] / 100
        found, others = super().update_and_fetch(keys + shift, values + shift)
        return found, others


class Uncopied(KVCache):  # type: ignore[misc]
    def __deepcopy__(self, copied: dict[int, Any]) -> Any:
        raise TypeError("this class is not to be copied")


class Shared(KVCache):  # type: ignore[misc]
    """Its copies are itself."""

    def __deepcopy__(self, copied: dict[int, Any]) -> Any:
        return self


class Holding:
    """A network with caches of this class."""

    def __init__(self, network: Any, cache: Callable[[], Any]) -> None:
        self._network, self._cache = network, cache

    def make_cache(self) -> list[Any]:
        return [self._cache() for _ in self._network.layers]

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        logits: mx.array = self._network(inputs, cache=cache)
        return logits

    @property
    def layers(self) -> Any:
        return self._network.layers


@pytest.mark.parametrize("cache", [Outside, Uncopied, Shared])
def test_copies_that_do_not_work_are_found_by_a_trial(llama: LanguageModel, cache: Callable[[], Any]) -> None:
    assert not copies_work(Holding(llama.network, cache))
    assert copies_work(Holding(llama.network, ConcatenateKVCache))


class Filed(ConcatenateKVCache):  # type: ignore[misc]
    """One that a graph has no node for: it holds a set."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = {1}


def test_copies_that_cannot_be_written_are_kept_in_memory_alone(
    llama: LanguageModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log says so at load."""
    files = PrefixFiles(str(tmp_path), "model", PLENTY)
    hello = Hello(protocol=0, pid=0, backend="cpu", device="this one", device_memory=PLENTY)
    network = Holding(llama.network, Filed)
    model = replace(llama, network=network, batchable=False, paddable=False, ragged=False)
    assert copies_work(network) and open_disk(model, files, hello) is None
    reason = "the caches of this model can be neither cut into blocks nor written as they are (Filed)"
    assert capsys.readouterr().err == f"keep no prompts on disk reason={reason!r}\n"
    asked = Asked(model)
    assert [asked.answer(PROMPT)[1], asked.answer(PROMPT)[1]] == [0, len(PROMPT) - 1]


def test_caches_of_which_nothing_is_kept(llama: LanguageModel) -> None:
    """The answers are right, and the log says why a prompt is read again."""
    model = replace(llama, network=Holding(llama.network, Shared), batchable=False, paddable=False, ragged=False)
    asked = Asked(model)
    assert asked.engine.reuse == "unknown"
    first, again = asked.answer(PROMPT), asked.answer(PROMPT)
    assert first == (Asked(llama, prefixes=0).answer(PROMPT)[0], 0, None)
    assert again == (first[0], 0, Reread(len(PROMPT) + 11, len(PROMPT) - 1, 0, "unknown caches"))
