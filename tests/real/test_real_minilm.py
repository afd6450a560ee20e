"""A real embedding model through the daemon is what Sentence Transformers says, alone and in any batch and order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from real.minilm import TEXTS, folder
from support.live_daemon import LiveDaemon, together

from mlx_serve.store.store import Store

Floats = NDArray[np.float32]
MODEL = "all-MiniLM-L6-v2"
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def recorded() -> Floats:
    with np.load(Path(__file__).with_name("recorded") / f"{MODEL}.npz", allow_pickle=False) as arrays:
        vectors: Floats = arrays["vectors"]
    return vectors


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    directory = tmp_path_factory.mktemp("minilm") / "models"
    Store.open(directory).pull(str(folder()))
    with LiveDaemon(directory) as running:
        yield running.ready()


def vectors(daemon: LiveDaemon, texts: list[str]) -> Floats:
    """By Ollama's endpoint, which takes an empty text too, and cuts what is too long as Sentence Transformers does."""
    answer: dict[str, Any] = daemon.post("/api/embed", model=MODEL, input=texts).json
    return np.array(answer["embeddings"], np.float32)


def same(found: Floats, wanted: Floats) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)
    assert (np.sum(found * wanted, axis=1) >= 0.99999).all()


def test_in_one_request_and_backwards(minilm: LiveDaemon, recorded: Floats) -> None:
    same(vectors(minilm, list(TEXTS)), recorded)
    same(vectors(minilm, list(TEXTS[::-1])), recorded[::-1])


def test_alone_and_all_clients_at_once(minilm: LiveDaemon, recorded: Floats) -> None:
    """An empty text alone would only load the model."""
    places = [place for place, text in enumerate(TEXTS) if text]
    same(np.concatenate([vectors(minilm, [TEXTS[place]]) for place in places]), recorded[places])
    calls = [lambda place=place: vectors(minilm, [TEXTS[place]]) for place in places * 3]
    same(np.concatenate(together(calls)), np.concatenate([recorded[places]] * 3))


def test_what_it_is_known_as(minilm: LiveDaemon) -> None:
    shown = minilm.post("/api/show", model=MODEL).json
    assert shown["capabilities"] == ["embedding"] and shown["details"]["embedding_length"] == 384
    assert shown["details"]["context_length"] == 256
