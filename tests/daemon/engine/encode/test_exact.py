"""Vectors and scores are those of Sentence Transformers and Transformers in float32, alone, in any batch, any order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from reference.encoder_texts import DOCUMENTS, QUERY, TEXTS
from reference.encoders import CASES, CROSS_ENCODERS, EMBEDDERS, YES_NO, write
from reference.recorded_file import FOLDER
from support.row_engine import Floats, matrix

from mlx_serve.daemon.protocol import Embed, Ranked, Rerank

from .conftest import Engine

TOLERANCE = 1e-4
RERANKERS = (*CROSS_ENCODERS, *YES_NO)


@pytest.fixture(scope="module")
def recorded() -> dict[str, NDArray[np.float32]]:
    with np.load(FOLDER / "encoders.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def same(vectors: Floats, wanted: Floats) -> None:
    assert vectors.shape == wanted.shape
    np.testing.assert_allclose(vectors, wanted, rtol=0, atol=TOLERANCE)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(wanted, axis=1)
    assert (np.sum(vectors * wanted, axis=1) / lengths >= 0.99999).all()


def test_the_recording_is_of_these_models(recorded: dict[str, NDArray[np.float32]], tmp_path: Path) -> None:
    facts = json.loads(str(recorded["facts"]))
    for name in CASES:
        assert write(name, tmp_path) == facts[name], f"record again: python -m reference.record_encoders ({name})"


@pytest.mark.parametrize("name", EMBEDDERS)
def test_texts_in_one_request(name: str, engine: Engine, recorded: dict[str, NDArray[np.float32]]) -> None:
    same(engine(name).vectors(*TEXTS, truncate=True), recorded[f"{name}.vectors"])


@pytest.mark.parametrize("name", EMBEDDERS)
def test_texts_alone(name: str, engine: Engine, recorded: dict[str, NDArray[np.float32]]) -> None:
    each = [engine(name).vectors(text, truncate=True) for text in TEXTS]
    same(np.concatenate(each), recorded[f"{name}.vectors"])


@pytest.mark.parametrize("name", EMBEDDERS)
def test_texts_of_many_requests_in_any_order(
    name: str, engine: Engine, recorded: dict[str, NDArray[np.float32]]
) -> None:
    """Three requests at once, each with the texts in an order of its own."""
    orders = [np.random.default_rng(seed).permutation(len(TEXTS)) for seed in range(3)]
    works = [Embed(texts=tuple(TEXTS[place] for place in order), truncate=True) for order in orders]
    for event, order in zip(engine(name).ask(*works), orders, strict=True):
        same(matrix(event), recorded[f"{name}.vectors"][order])


@pytest.mark.parametrize(
    "name", [name for name in EMBEDDERS if name not in ("bert-mean", "bert-lower-cls", "modernbert-mean")]
)
def test_the_models_own_prompt_for_queries(name: str, engine: Engine, recorded: dict[str, NDArray[np.float32]]) -> None:
    by_name = engine(name).vectors(*TEXTS, truncate=True, prompt_name="query")
    same(by_name, recorded[f"{name}.queries"])
    same(engine(name).vectors(*TEXTS, truncate=True, input_type="search_query"), by_name)


@pytest.mark.parametrize("name", RERANKERS)
def test_documents_in_one_request(name: str, engine: Engine, recorded: dict[str, NDArray[np.float32]]) -> None:
    logits = engine(name).logits(QUERY, *DOCUMENTS)
    np.testing.assert_allclose(logits, recorded[f"{name}.logits"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", RERANKERS)
def test_documents_alone(name: str, engine: Engine, recorded: dict[str, NDArray[np.float32]]) -> None:
    logits = np.concatenate([engine(name).logits(QUERY, document) for document in DOCUMENTS])
    np.testing.assert_allclose(logits, recorded[f"{name}.logits"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", RERANKERS)
def test_documents_beside_those_of_other_queries(
    name: str, engine: Engine, recorded: dict[str, NDArray[np.float32]]
) -> None:
    """Heads of different lengths in one batch, one of them alone and without a head of its own."""
    backwards = Rerank(query=QUERY, documents=DOCUMENTS[::-1])
    others = Rerank(query="a much longer question about something else entirely?", documents=DOCUMENTS)
    lone = Rerank(query="x", documents=(DOCUMENTS[0],))
    event, other, _ = engine(name).ask(backwards, others, lone)
    assert isinstance(event, Ranked) and isinstance(other, Ranked)
    np.testing.assert_allclose(event.logits[::-1], recorded[f"{name}.logits"], rtol=0, atol=TOLERANCE)
    alone = engine(name).logits(others.query, *DOCUMENTS)
    np.testing.assert_allclose(other.logits, alone, rtol=0, atol=TOLERANCE)


def test_a_long_text_in_pieces(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device so slow that a step takes 32 tokens: the same vector, and others come between the pieces."""
    made = engine("qwen3-embedding")
    long = "word " * 22
    wanted = made.vectors(long)
    monkeypatch.setattr(made.worker._allowance, "tokens", 32)
    monkeypatch.setattr(made.worker._allowance, "note", lambda tokens, seconds: None)
    before = made.worker.gauges().steps
    number = made.put(Embed(texts=(long,)))
    made.step()
    (between,) = made.ask(Embed(texts=("hello",)))
    assert number not in made.events and matrix(between).shape == (1, 64)
    (event,) = made.finish([number])
    assert made.worker.gauges().steps - before >= 5
    same(matrix(event), wanted)


@pytest.mark.parametrize("budget", [16, 100, 5000])
def test_a_long_query_in_pieces(
    engine: Engine, recorded: dict[str, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    """The head of all documents, prefilled so many tokens at a time."""
    made = engine("qwen3-reranker")
    monkeypatch.setattr(made.worker._allowance, "tokens", budget)
    monkeypatch.setattr(made.worker._allowance, "note", lambda tokens, seconds: None)
    logits = made.logits(QUERY, *DOCUMENTS)
    np.testing.assert_allclose(logits, recorded["qwen3-reranker.logits"], rtol=0, atol=TOLERANCE)
