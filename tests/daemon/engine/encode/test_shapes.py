"""Few shapes of batches for devices that prepare themselves for each: what they are, and that results stay the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from reference.encoder_texts import DOCUMENTS, QUERY, TEXTS
from reference.encoders import CROSS_ENCODERS, EMBEDDERS, YES_NO
from reference.recorded_file import FOLDER
from support.row_engine import RowEngine

from mlx_serve.daemon.engine.encode.packing import Budget
from mlx_serve.daemon.engine.shapes import EXACT, Shapes

FEW = Shapes(few=True, longest=512)

Recorded = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def recorded() -> Iterator[Recorded]:
    with np.load(FOLDER / "encoders.npz", allow_pickle=False) as arrays:
        yield dict(arrays)


def test_there_are_few_shapes_and_none_is_much_larger_than_it_must_be() -> None:
    widths = {FEW.columns(width) for width in range(1, 513)}
    counts = {FEW.rows(count) for count in range(1, 1025)}
    assert len(widths) <= 16 and len(counts) <= 20
    for width in range(17, 513):
        assert width <= FEW.columns(width) <= 1.5 * width + 16
    for count in range(1, 1025):
        assert count <= FEW.rows(count) <= 1.5 * count


def test_chunks_have_few_widths() -> None:
    """The last one of a prompt is padded by a quarter at most where it is not short; those before it take what they may
    have, or up to a third less."""
    last = {FEW.chunk(width) for width in range(1, 8193)}
    before = {FEW.whole(width) for width in range(64, 8193)}
    assert len(last) <= 28 and len(before) <= 15
    for width in range(257, 8193):
        assert width <= FEW.chunk(width) <= 1.25 * width and FEW.chunk(width) % FEW.grain == 0
    for width in range(64, 8193):
        assert 2 * width / 3 < FEW.whole(width) + 64 and FEW.whole(width) <= width and FEW.whole(width) % FEW.grain == 0
    assert [EXACT.chunk(width) for width in (1, 700)] == [EXACT.whole(width) for width in (1, 700)] == [1, 700]


def test_long_prompts_have_the_same_chunks() -> None:
    """Wherever one begins, the chunk that is not its last one ends at a multiple of the longest, if it comes so far."""
    assert [FEW.end(0, 8192), FEW.end(3000, 11192), FEW.end(8192, 16384), FEW.end(3000, 20000)] == [8192] * 2 + [
        16384
    ] * 2
    assert [FEW.end(0, 4096), FEW.end(8192, 12000), EXACT.end(3000, 11192)] == [4096, 12000, 11192]
    assert FEW.chunk(7434) == 8192, "as wide as those before it"


def test_no_batch_is_wider_than_the_model_allows() -> None:
    """A position table has no row for what lies past it."""
    odd = Shapes(few=True, longest=301)
    assert {odd.columns(width) for width in (290, 301)} == {301}
    assert FEW.columns(600) == 600, "what is longer already stays as it is"


def test_elsewhere_a_batch_is_as_large_as_it_is() -> None:
    assert [EXACT.columns(width) for width in (1, 17, 511)] == [1, 17, 511]
    assert EXACT.filled([1, 2, 3, 4, 5]) == [1, 2, 3, 4, 5]
    assert FEW.filled([1, 2, 3, 4, 5]) == [1, 2, 3, 4, 5, 5]


def test_the_budget_counts_what_is_added() -> None:
    """Memory is for the batch as it is computed: six rows of 32 columns, where five of 20 are asked for."""
    budget = Budget(tokens=10_000, memory=6 * 32 * 10, token_bytes=10, shapes=FEW)
    assert budget.fits(5, 20)
    assert not budget.fits(5, 33)
    assert not Budget(tokens=10_000, memory=6 * 32 * 10 - 1, token_bytes=10, shapes=FEW).fits(5, 20)


@pytest.mark.parametrize("name", EMBEDDERS)
def test_the_same_vectors(name: str, encoder_folder: Callable[[str], Path], recorded: Recorded) -> None:
    engine = RowEngine.embedding(encoder_folder(name))
    engine.task.shapes = Shapes(few=True, longest=engine.task.texts.longest)
    vectors = engine.vectors(*TEXTS, truncate=True)
    np.testing.assert_allclose(vectors, recorded[f"{name}.vectors"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", (*CROSS_ENCODERS, *YES_NO))
def test_the_same_scores(name: str, encoder_folder: Callable[[str], Path], recorded: Recorded) -> None:
    engine = RowEngine.reranking(encoder_folder(name))
    engine.task.shapes = Shapes(few=True, longest=engine.task.texts.longest)
    np.testing.assert_allclose(engine.logits(QUERY, *DOCUMENTS), recorded[f"{name}.logits"], rtol=0, atol=1e-4)
