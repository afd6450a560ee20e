"""The built-in embedding model and reranker rank as a person would, and mlx-lm computes what Transformers does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from meaning.retrieval import PARAPHRASES, QUESTIONS
from numpy.typing import NDArray
from support.own_process import run_module

from mlx_serve.store.ingest.builtin import BUILTINS

Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[np.float32]]
RECORDED = Path(__file__).parent / "recorded" / "retrieval.npz"
TOLERANCE = 1e-3
_PASSAGES = [passage for question in QUESTIONS for passage in question.passages]


def _arrays(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as found:
        return dict(found)


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    out = tmp_path_factory.mktemp("meaning") / "computed.npz"
    folders = [str(BUILTINS[name].folder) for name in ("starter-embed", "starter-rerank")]
    run_module("meaning.mlx_retrieval", *folders, out)
    return _arrays(out)


def _vectors(computed: Arrays, dimensions: int) -> tuple[Floats, Floats, Floats]:
    """Of the queries, the passages and the paraphrases, cut to so many dimensions and of length one."""
    cut = computed["states"][:, :dimensions]
    cut = cut / np.linalg.norm(cut, axis=1, keepdims=True)
    queries, passages = len(QUESTIONS), len(_PASSAGES)
    return cut[:queries], cut[queries : queries + passages], cut[queries + passages :]


@pytest.mark.parametrize("dimensions", [256, 128, 64])
def test_a_question_finds_its_passage(computed: Arrays, dimensions: int) -> None:
    """Among the passages of all questions, near ones included; a few of the dimensions suffice."""
    queries, passages, _ = _vectors(computed, dimensions)
    best = (queries @ passages.T).argmax(axis=1)
    assert [_PASSAGES[i] for i in best] == [question.passages[0] for question in QUESTIONS]


@pytest.mark.parametrize("dimensions", [256, 128, 64])
def test_paraphrases_are_nearer_than_other_sentences(computed: Arrays, dimensions: int) -> None:
    """They share few words, and still each is the nearest of all to its other half."""
    *_, sentences = _vectors(computed, dimensions)
    similar = sentences @ sentences.T
    np.fill_diagonal(similar, -1)
    assert similar.argmax(axis=1).tolist() == [i ^ 1 for i in range(2 * len(PARAPHRASES))]


def test_the_reranker_puts_the_answer_first_and_says_yes_to_it(computed: Arrays) -> None:
    """And no to the fifteen others; it is allowed two mistakes, such as taking a namesake for the person."""
    logits = computed["logits"]
    scores = logits[:, int(computed["yes"][0])] - logits[:, int(computed["no"][0])]
    start = wrongly = 0
    for question in QUESTIONS:
        own = scores[start : start + len(question.passages)]
        start += len(question.passages)
        assert own.argmax() == 0, question.query
        assert own[0] > 0, question.query
        wrongly += int((own[1:] > 0).sum())
    assert wrongly <= 2


def test_the_likeliest_next_token_of_the_reranker_is_yes_or_no(computed: Arrays) -> None:
    """Both are single tokens, and no other word comes before them."""
    assert len(computed["yes"]) == len(computed["no"]) == 1
    answers = {int(computed["yes"][0]), int(computed["no"][0])}
    assert set(computed["logits"].argmax(axis=1).tolist()) == answers


def test_the_recording_is_of_these_weights() -> None:
    facts = json.loads(str(_arrays(RECORDED)["facts"]))
    for name in ("starter-embed", "starter-rerank"):
        weights = (BUILTINS[name].folder / "model.safetensors").read_bytes()
        assert facts[name] == hashlib.sha256(weights).hexdigest(), f"record again: python -m meaning.record ({name})"


def test_states_and_logits_are_those_of_transformers(computed: Arrays) -> None:
    """In float32, from texts that each side turned into tokens by itself."""
    recorded = _arrays(RECORDED)
    assert (int(recorded["yes"]), int(recorded["no"])) == (int(computed["yes"][0]), int(computed["no"][0]))
    np.testing.assert_allclose(computed["states"], recorded["states"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(computed["logits"][:, recorded["columns"]], recorded["logits"], rtol=0, atol=TOLERANCE)
