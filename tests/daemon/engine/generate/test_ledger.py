"""What caches take: rows in shared buffers, prompts on their way, windows and states at their real size."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx_lm.models.cache import make_prompt_cache

from mlx_serve.daemon.engine.cache.capacity import Costs, RowBytes, columns
from mlx_serve.daemon.engine.generate.memory.ledger import CacheLedger, Occupancy
from mlx_serve.daemon.engine.model.forward import BatchedForward
from mlx_serve.daemon.engine.model.inputs import Inputs

ONE_BUCKET = 1 << 50


def ledger(row: RowBytes, memory: int | None = None) -> CacheLedger:
    return CacheLedger(memory, Costs(row, ONE_BUCKET))


def test_rows_and_prefills_are_counted() -> None:
    """Rows double and share the width of the longest; a prompt's own caches grow by steps of 256."""
    known = ledger(RowBytes(10))
    assert known.needed(Occupancy()) == 0
    assert known.needed(Occupancy((1,))) == 256 * 10
    assert known.needed(Occupancy((10, 300, 10))) == 4 * columns(300) * 10
    assert known.needed(Occupancy((), ((2, 257),))) == 2 * 512 * 10
    assert known.needed(Occupancy((1,), ((1, 1),))) == 2 * 256 * 10


def test_windows_and_states_at_their_real_size() -> None:
    """A window costs no more than its size however long the text, a recurrent state the same at any length."""
    known = ledger(RowBytes(0, rings=((512, 3),), state=100))
    assert known.needed(Occupancy((10,))) == 256 * 3 + 100
    assert known.needed(Occupancy((100_000,))) == 512 * 3 + 100
    assert known.needed(Occupancy((100_000, 5))) == 2 * 512 * 3 + 2 * 100


def test_no_limit_fits_everything() -> None:
    assert ledger(RowBytes(1 << 40)).fits(Occupancy((10**6,) * 64))
    assert not ledger(RowBytes(1), 255).fits(Occupancy((1,)))
    assert ledger(RowBytes(1), 256).fits(Occupancy((1,)))


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next", "qwen3_5"])
def test_the_ledger_tells_what_the_buffers_hold(name: str, loaded: object) -> None:
    """The batch's own bytes after a step are what the ledger said beforehand, for every sort of cache."""
    model = loaded(name)  # type: ignore[operator]
    book = CacheLedger(None, Costs(model.costs.row, ONE_BUCKET))
    forward = BatchedForward(model.network, ONE_BUCKET)
    lengths = (5, 40, 17)
    for length in lengths:
        caches = make_prompt_cache(model.network)
        Inputs(mx.zeros((1, length), dtype=mx.int32)).apply(model.network, caches)
        forward.join(caches, [(0, length)])
    mx.eval(forward(Inputs(mx.zeros((3, 1), dtype=mx.int32))))
    assert forward.nbytes == book.needed(Occupancy(tuple(length + 1 for length in lengths)))
