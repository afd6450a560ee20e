"""Embeddings and reranking through the real daemon: what the built-in models mean, official clients, many at once."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import ollama
import openai
import pytest
from meaning.retrieval import PARAPHRASES, QUESTIONS
from support.extent import LONG
from support.live_daemon import LiveDaemon, together, wait_until

from mlx_serve.store.store import Store

PASSAGES = [passage for question in QUESTIONS for passage in question.passages]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    directory = tmp_path_factory.mktemp("retrieval") / "models"
    store = Store.open(directory)
    for name in ("starter", "starter-embed", "starter-rerank"):
        store.pull(name)
    with LiveDaemon(directory) as running:
        yield running.ready()


def _vectors(gpt: openai.OpenAI, texts: list[str], **options: Any) -> np.ndarray[Any, Any]:
    """By the official client, which asks for base64 and decodes it."""
    answer = gpt.embeddings.create(model="starter-embed", input=texts, **options)
    assert [entry.index for entry in answer.data] == list(range(len(texts)))
    return np.array([entry.embedding for entry in answer.data], np.float32)


def _loaded(llama: ollama.Client) -> set[str]:
    """The models in memory, without owners and tags."""
    return {str(model.model).rpartition("/")[2].partition(":")[0] for model in llama.ps().models}


# what the built-in models mean


@pytest.mark.parametrize("dimensions", [256, 64])
def test_a_question_finds_its_passage(gpt: openai.OpenAI, dimensions: int) -> None:
    asked = [question.query for question in QUESTIONS]
    queries = _vectors(gpt, asked, dimensions=dimensions, extra_body={"input_type": "query"})
    passages = _vectors(gpt, PASSAGES, dimensions=dimensions)
    assert queries.shape == (len(asked), dimensions)
    best = (queries @ passages.T).argmax(axis=1)
    assert [PASSAGES[place] for place in best] == [question.passages[0] for question in QUESTIONS]


def test_paraphrases_are_nearer_than_other_sentences(llama: ollama.Client) -> None:
    sentences = [text for pair in PARAPHRASES for text in pair]
    vectors = np.array(llama.embed(model="starter-embed", input=sentences).embeddings)
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -1)
    assert similar.argmax(axis=1).tolist() == [place ^ 1 for place in range(len(sentences))]


def test_the_reranker_puts_the_answer_first(daemon: LiveDaemon) -> None:
    for question in QUESTIONS:
        answer = daemon.post(
            "/v1/rerank", model="starter-rerank", query=question.query, documents=list(question.passages), top_n=2
        ).json
        first, second = answer["results"]
        assert first["index"] == 0 and first["document"] == {"text": question.passages[0]}
        assert first["relevance_score"] > 0.5 and first["relevance_score"] >= second["relevance_score"]
        assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0


# shapes


def test_floats_and_base64_are_the_same_numbers(daemon: LiveDaemon) -> None:
    plain = daemon.post("/v1/embeddings", model="starter-embed", input="hello", encoding_format="float").json
    packed = daemon.post("/v1/embeddings", model="starter-embed", input="hello", encoding_format="BASE64").json
    decoded = np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4")
    np.testing.assert_array_equal(np.array(plain["data"][0]["embedding"], np.float32), decoded)
    assert np.linalg.norm(decoded) == pytest.approx(1, abs=1e-5)
    assert plain["usage"] == packed["usage"] and plain["usage"]["prompt_tokens"] > 1


@pytest.mark.parametrize("form", ["float", "base64"])
@pytest.mark.parametrize(
    "given",
    ["hello there", ["hello there"], ["hello there", "and you"], [10, 11, 12], [[10, 11, 12], [13, 14]]],
    ids=str,
)
@pytest.mark.parametrize("dimensions", [None, 64])
def test_the_official_client_has_every_form(
    daemon: LiveDaemon, gpt: openai.OpenAI, form: Any, given: Any, dimensions: int | None
) -> None:
    """Texts and token ids, one or several, as floats or base64, whole or shortened: the numbers of a plain request."""
    options: dict[str, Any] = {} if dimensions is None else {"dimensions": dimensions}
    answer = gpt.embeddings.create(model="starter-embed", input=given, encoding_format=form, **options)
    plain = daemon.post("/v1/embeddings", model="starter-embed", input=given, **options).json
    assert (answer.object, answer.model, [one.index for one in answer.data]) == (
        "list",
        "starter-embed",
        list(range(len(plain["data"]))),
    )
    for one, expected in zip(answer.data, plain["data"], strict=True):
        found: Any = one.embedding  # left as base64 where the caller asked for it
        vector = np.frombuffer(base64.b64decode(found), "<f4") if isinstance(found, str) else np.array(found)
        assert vector.shape == (dimensions or 256,)
        np.testing.assert_allclose(vector, expected["embedding"], rtol=0, atol=1e-6)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == plain["usage"]["prompt_tokens"]


@pytest.mark.parametrize("options", [{}, {"dimensions": 64}, {"truncate": False, "keep_alive": "5m"}], ids=str)
@pytest.mark.parametrize("given", ["hello there", ["hello there", "and you", "hello there"]], ids=str)
def test_ollamas_official_client_has_every_form(llama: ollama.Client, given: Any, options: dict[str, Any]) -> None:
    answer = llama.embed(model="starter-embed", input=given, **options)
    vectors = np.array(answer.embeddings)
    assert vectors.shape == (1 if isinstance(given, str) else len(given), options.get("dimensions", 256))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=0, atol=1e-5)
    whole = np.array(llama.embed(model="starter-embed", input="hello there").embeddings[0])[: vectors.shape[1]]
    np.testing.assert_allclose(vectors[0], whole / np.linalg.norm(whole), rtol=0, atol=1e-5)


def test_token_lists_are_taken_as_they_are(daemon: LiveDaemon) -> None:
    """One list or several; the same tokens give the same vector, whatever stands beside them."""
    lone = daemon.post("/v1/embeddings", model="starter-embed", input=[10, 11, 12]).json
    several = daemon.post("/v1/embeddings", model="starter-embed", input=[[10, 11, 12], [13] * 40]).json
    np.testing.assert_allclose(several["data"][0]["embedding"], lone["data"][0]["embedding"], rtol=0, atol=1e-5)
    assert (lone["usage"]["prompt_tokens"], several["usage"]["prompt_tokens"]) == (3, 43)


def test_dimensions_cut_and_normalise(gpt: openai.OpenAI) -> None:
    whole, cut = _vectors(gpt, ["hello there"])[0], _vectors(gpt, ["hello there"], dimensions=32)[0]
    np.testing.assert_allclose(cut, whole[:32] / np.linalg.norm(whole[:32]), rtol=0, atol=1e-6)


def test_too_long_is_refused_or_cut_and_marked(daemon: LiveDaemon) -> None:
    long = "word " * 2000
    refused = daemon.post("/v1/embeddings", model="starter-embed", input=["short", long])
    assert refused.status == 400 and refused.json["error"]["code"] == "context_length_exceeded"
    assert "input 1" in refused.json["error"]["message"] and refused.json["error"]["param"] == "input"
    answer = daemon.post("/v1/embeddings", model="starter-embed", input=["short", long], truncate=True).json
    assert [entry.get("truncated") for entry in answer["data"]] == [None, True]
    ranked = daemon.post("/rerank", model="starter-rerank", query="q", documents=["a", long])
    assert ranked.status == 400 and "document 1" in ranked.json["error"]["message"]
    ranked = daemon.post("/rerank", model="starter-rerank", query="q", documents=["a", long], truncate=True)
    assert {one["index"]: one.get("truncated") for one in ranked.json["results"]} == {0: None, 1: True}


def test_ollamas_embed(daemon: LiveDaemon, llama: ollama.Client) -> None:
    """Counts and durations; cut by default, and refused when the client says so."""
    answer = llama.embed(model="starter-embed", input="hello", dimensions=64)
    assert len(answer.embeddings[0]) == 64
    assert answer.prompt_eval_count and answer.total_duration and answer.model == "starter-embed"
    cut = daemon.post("/api/embed", model="starter-embed", input="word " * 2000).json
    assert cut["prompt_truncated"] is True and cut["prompt_eval_count"] == 1024
    with pytest.raises(ollama.ResponseError, match="the input length exceeds the context length"):
        llama.embed(model="starter-embed", input="word " * 2000, truncate=False)


def test_the_older_endpoint_does_not_normalise(llama: ollama.Client) -> None:
    """One direction, another length."""
    older = np.array(llama.embeddings(model="starter-embed", prompt="hello").embedding)
    newer = np.array(llama.embed(model="starter-embed", input="hello").embeddings[0])
    assert abs(np.linalg.norm(older) - 1) > 0.1
    np.testing.assert_allclose(older / np.linalg.norm(older), newer, rtol=0, atol=1e-5)


def test_an_empty_input_loads_and_keep_alive_0_unloads(daemon: LiveDaemon, llama: ollama.Client) -> None:
    assert llama.embed(model="starter-embed", input=[], keep_alive="5m").embeddings == []
    assert "starter-embed" in _loaded(llama)
    assert daemon.post("/api/embeddings", model="starter-embed", keep_alive=0).json == {"embedding": []}
    assert "starter-embed" not in _loaded(llama)


def test_raw_scores_are_the_logits_and_documents_may_be_objects(daemon: LiveDaemon) -> None:
    asked = {"model": "starter-rerank", "query": QUESTIONS[0].query}
    texts = list(QUESTIONS[0].passages)
    scores = daemon.post("/v1/rerank", **asked, documents=texts, return_documents=False).json["results"]
    raw = daemon.post("/v1/rerank", **asked, documents=[{"text": text} for text in texts], raw_scores=True).json
    assert [one["index"] for one in scores] == [one["index"] for one in raw["results"]]
    assert all("document" not in one for one in scores)
    for score, logit in zip(scores, raw["results"], strict=True):
        assert score["relevance_score"] == pytest.approx(1 / (1 + math.exp(-logit["relevance_score"])), abs=1e-6)


def test_an_instruction_changes_the_scores(daemon: LiveDaemon) -> None:
    asked = {"model": "starter-rerank", "query": QUESTIONS[0].query, "documents": list(QUESTIONS[0].passages)}
    plain = daemon.post("/v1/rerank", **asked, raw_scores=True).json["results"]
    told = daemon.post("/v1/rerank", **asked, raw_scores=True, instruction="Find prices").json["results"]
    assert [one["relevance_score"] for one in plain] != [one["relevance_score"] for one in told]


# many at once


def test_requests_at_once_get_their_own_vectors(daemon: LiveDaemon) -> None:
    """Forty clients with texts of all lengths, beside a chat."""
    texts = [f"{word} " * (1 + number) for number, word in enumerate(["alpha", "beta", "gamma", "delta"] * 10)]
    whole = daemon.post("/v1/embeddings", model="starter-embed", input=texts).json
    calls: list[Any] = [
        lambda text=text: daemon.post("/v1/embeddings", model="starter-embed", input=text).json for text in texts
    ]
    *answers, chat = together([*calls, lambda: daemon.chat("starter", "What is 2 + 3?", max_tokens=20).json])
    for answer, entry in zip(answers, whole["data"], strict=True):
        np.testing.assert_allclose(answer["data"][0]["embedding"], entry["embedding"], rtol=0, atol=1e-5)
    assert sum(answer["usage"]["prompt_tokens"] for answer in answers) == whole["usage"]["prompt_tokens"]
    assert chat["choices"][0]["message"]["content"]


LARGE = pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "starter-embed", "input": ["a fairly long text " * 40] * 1500}),
        ("/v1/rerank", {"model": "starter-rerank", "query": "q", "documents": ["a fairly long text " * 40] * 1500}),
    ],
)


@LARGE
def test_the_operator_ends_work_of_a_minute(daemon: LiveDaemon, path: str, body: dict[str, Any]) -> None:
    """It is shown as being read, and its client is told who ended it."""
    connection = daemon.connect()
    connection.request("POST", path, json.dumps(body), {"X-Request-ID": "large"})

    def reading() -> bool:
        return [(row["id"], row["state"]) for row in daemon.control("GET", "/requests")["requests"]] == [
            ("large", "prefilling")
        ]

    wait_until(reading, "the model is at it")
    daemon.control("DELETE", "/requests/large")
    answer = connection.getresponse()
    error = json.loads(answer.read())["error"]
    connection.close()
    assert (answer.status, error["code"]) == (499, "cancelled") and "cancelled by the operator" in error["message"]
    daemon.wait_for_rest(10)


@LARGE
def test_a_client_that_hangs_up_ends_its_work(daemon: LiveDaemon, path: str, body: dict[str, Any]) -> None:
    """The model is free at once: it would have had a minute to do."""
    model = f"mlx-serve/{body['model']}"
    before = daemon.gauge(f'cancelled_total{{model="{model}"}}')
    daemon.control("POST", "/load", {"name": body["model"]})
    connection = daemon.connect()
    connection.request("POST", path, json.dumps(body))
    wait_until(lambda: not daemon.at_rest(), "the model is at it")
    connection.close()
    daemon.wait_for_rest(10)
    assert daemon.gauge(f'cancelled_total{{model="{model}"}}') == before + 1


def test_ps_metrics_and_capabilities_know_the_kinds(daemon: LiveDaemon, llama: ollama.Client) -> None:
    llama.embed(model="starter-embed", input="a")
    daemon.post("/v1/rerank", model="starter-rerank", query="q", documents=["a"])
    assert {"starter-embed", "starter-rerank"} <= _loaded(llama)
    tokens = daemon.get("/metrics").body.decode()
    assert 'mlx_serve_prompt_tokens_total{model="mlx-serve/starter-embed"}' in tokens
    assert 'mlx_serve_requests_total{endpoint="/v1/rerank",model="mlx-serve/starter-rerank",status="200"}' in tokens
    shown = {
        name: daemon.post("/api/show", model=name).json["capabilities"] for name in ("starter-embed", "starter-rerank")
    }
    assert shown == {"starter-embed": ["embedding"], "starter-rerank": ["rerank"]}
    cards = {card["id"].rpartition("/")[2]: card["capabilities"] for card in daemon.get("/v1/models").json["data"]}
    assert cards["starter-embed"] == ["embedding"] and cards["starter-rerank"] == ["rerank"]
    assert "completion" in cards["starter"]


def test_run_prints_the_vector_shortened(daemon: LiveDaemon) -> None:
    done = daemon.command("run", "starter-embed", "hello")
    numbers, count = done.stdout.removeprefix("[").split("] ")
    assert count == "(256 numbers)\n" and done.returncode == 0
    whole = json.loads(daemon.command("run", "starter-embed", "hello", "--json").stdout)["embeddings"][0]
    ends = [*whole[:4], *whole[-4:]]
    assert numbers.split(", ") == [*(f"{one:.4f}" for one in ends[:4]), "…", *(f"{one:.4f}" for one in ends[4:])]


def test_run_on_a_reranker_explains_itself(daemon: LiveDaemon) -> None:
    done = daemon.command("run", "starter-rerank", "hello")
    assert done.returncode == 1 and "starter-rerank is a reranker" in done.stderr and "/v1/rerank" in done.stderr


@pytest.mark.parametrize("name", ["starter-embed", "starter-rerank"])
def test_load_ps_and_unload(daemon: LiveDaemon, llama: ollama.Client, name: str) -> None:
    assert daemon.command("load", name).returncode == 0
    assert name in daemon.command("ps").stdout and name in _loaded(llama)
    assert daemon.command("unload", name).returncode == 0
    assert name not in _loaded(llama)


def test_a_quantized_copy_embeds_and_ranks_like_the_original(daemon: LiveDaemon, gpt: openai.OpenAI) -> None:
    names = ("starter-embed", "starter-rerank") if LONG else ("starter-embed",)
    for name in names:
        assert daemon.command("quantize", name, "--bits", "8", "--group-size", "32").returncode == 0
    texts = [question.query for question in QUESTIONS]
    small = gpt.embeddings.create(model="starter-embed-8bit", input=texts, dimensions=64).data
    whole = _vectors(gpt, texts, dimensions=64)
    assert min(float(np.dot(one.embedding, other)) for one, other in zip(small, whole, strict=True)) > 0.99
    if LONG:
        asked = {"query": QUESTIONS[0].query, "documents": list(QUESTIONS[0].passages)}
        answer = daemon.post("/v1/rerank", model="starter-rerank-8bit", **asked).json
        assert answer["results"][0]["index"] == 0
