"""Rows of different lengths in buckets of their own: the same logits, less memory, and nobody is mixed up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from support.extent import LONG
from support.twin_rows import Twins, play

from mlx_serve.daemon.engine.cache import capacity
from mlx_serve.daemon.engine.cache.attention_rows import AttentionRows
from mlx_serve.daemon.engine.cache.state_rows import StateRows
from mlx_serve.daemon.engine.model.forward import BatchedForward
from mlx_serve.daemon.engine.model.inputs import Inputs
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.shapes import Shapes

MOVES = [("llama", 0), ("llama", 1), ("qwen3", 2), ("gemma3", 23), ("gemma3", 4), ("qwen3_next", 5), ("qwen3_5", 6)]


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Buffers of 8, 16, 24, 40, 64, … columns, so that short rows differ in width."""
    with monkeypatch.context() as changed:
        changed.setattr(capacity, "STEP", 8)
        capacity.columns.cache_clear()
        yield
    capacity.columns.cache_clear()


def eager(model: LanguageModel, **options: Any) -> Any:
    """A forward that parts rows wherever it saves a byte."""
    return BatchedForward(model.network, 0, **options)


@pytest.mark.parametrize(
    ("name", "seed"),
    MOVES if LONG else MOVES[1::2],
)
@pytest.mark.usefixtures("small_steps")
def test_random_joins_and_leaves_in_buckets(name: str, seed: int, loaded: Callable[[str], LanguageModel]) -> None:
    """Rows move from bucket to bucket as others come and go and as they grow; each keeps the logits it has alone."""
    forward = eager(loaded(name))
    seen: list[int] = []
    arrange = forward._arrange

    def watched(*arguments: Any) -> Any:
        found = arrange(*arguments)
        seen.append(len(forward._buckets))
        return found

    forward._arrange = watched
    play(Twins(loaded(name), seed, forward), moves=30, longest=60)
    assert max(seen) == 3


@pytest.mark.usefixtures("small_steps")
def test_rows_change_buckets_as_they_grow(llama: LanguageModel) -> None:
    """The buffers' widths grow farther apart and together: forty steps with nobody joining or leaving."""
    twins = Twins(llama, 2, eager(llama))
    for length in (30, 22, 4, 17):
        twins.join(length)
    seen = set()
    for _ in range(40):
        twins.step()
        seen.add(frozenset(frozenset(bucket.keys) for bucket in twins.forward._buckets))
    assert len(seen) > 1


@pytest.mark.usefixtures("small_steps")
def test_a_row_is_taken_out_of_its_bucket(loaded: Callable[[str], LanguageModel]) -> None:
    """Rows are counted over all buckets: each taken row goes on with its own logits."""
    for name in ("llama", "gemma3", "qwen3_next"):
        twins = Twins(loaded(name), 3, eager(loaded(name)))
        for length in (50, 3, 20, 5):
            twins.join(length)
            twins.step()
        twins.leave(1)
        assert len(twins.forward._buckets) > 1
        taken = [twins.forward.take(row) for row in range(3)]
        for row, caches in enumerate(taken):
            token = mx.array([[7]])
            alone = np.array(twins.network(token, cache=twins.plain[row])[0, -1])
            np.testing.assert_allclose(np.array(twins.network(token, cache=caches)[0, -1]), alone, rtol=0, atol=1e-4)


def test_a_long_row_makes_nobody_else_wide(llama: LanguageModel) -> None:
    """2,000 tokens beside three times 20: what each bucket takes, who leaves, and what comes back."""
    twins = Twins(llama, 4, BatchedForward(llama.network, llama.weight_bytes))
    width = llama.costs.row.token
    for _ in range(3):
        twins.join(20)
    assert twins.forward.nbytes == 4 * 256 * width
    twins.join(2000)
    twins.step()
    assert twins.forward.nbytes == (2048 + 4 * 256) * width
    twins.leave(1)
    twins.step()
    twins.leave(twins.plain.index(max(twins.plain, key=lambda caches: caches[0].offset)))
    assert twins.forward.nbytes == 4 * 256 * width
    twins.step()
    twins.leave(0)
    twins.leave(0)
    assert twins.forward.nbytes == 0


def test_a_bucket_narrows_when_its_long_row_has_left(llama: LanguageModel) -> None:
    """Where a pass costs too much to part them, the short rows give the width back that only the long one needed."""
    twins = Twins(llama, 5)
    twins.join(700)
    twins.join(20)
    twins.join(15)
    assert twins.forward.nbytes == 4 * 768 * llama.costs.row.token
    twins.leave(0)
    assert twins.forward.nbytes == 4 * 256 * llama.costs.row.token
    twins.step()
    twins.join(5)
    twins.step()


def test_equal_rows_take_one_pass(llama: LanguageModel) -> None:
    """Nothing is parted, sorted or put together: the network gets the tokens as they came."""
    calls = []

    class Watched:
        layers = llama.network.layers
        parameters = llama.network.parameters

        def __call__(self, tokens: mx.array, cache: Any) -> mx.array:
            calls.append(tokens.shape)
            logits: mx.array = llama.network(tokens, cache=cache)
            return logits

    twins = Twins(llama, 6, BatchedForward(Watched(), llama.weight_bytes))
    for length in (9, 12, 100):
        twins.join(length)
    twins.step()
    assert calls == [(3, 1)]
    assert twins.forward._order is None


@pytest.mark.parametrize(("name", "seed"), [("llama", 0), ("gemma3", 1), ("qwen3_next", 2)])
@pytest.mark.usefixtures("small_steps")
def test_rows_that_stand_for_nobody_disturb_nobody(
    name: str, seed: int, loaded: Callable[[str], LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where steps have few shapes, some compute more rows than there are: each keeps the logits it has alone, in one
    bucket and in several. Recurrent states are for those alone that there are."""
    model = loaded(name)
    widths: set[int] = set()
    apply = Inputs.apply

    def watched(self: Inputs, network: Any, caches: list[Any]) -> mx.array:
        if isinstance(caches[0], (AttentionRows, StateRows)):
            widths.add(self.tokens.shape[0])
        return apply(self, network, caches)

    monkeypatch.setattr(Inputs, "apply", watched)
    for forward in (
        eager(model, shapes=Shapes(few=True)),
        BatchedForward(model.network, 10**12, shapes=Shapes(few=True)),
    ):
        twins = Twins(model, seed, forward)
        for length in (9, 12, 30, 7, 2, 41, 5):
            twins.join(length)
            twins.step()
        for _ in range(6):
            twins.leave(1)
            twins.step()
        twins.join(3)
        twins.step()
    assert widths == ({1, 2, 3, 4, 6, 8} if name != "qwen3_next" else set(range(1, 8)))
