"""What embeddings and reranking refuse, in each dialect: a 400 that names the field, and nobody else notices."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import ollama
import pytest
from support.live_daemon import LiveDaemon, together

from mlx_serve.store.store import Store

MEGABYTES_50 = "a few words, " * ((50 << 20) // 13)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    directory = tmp_path_factory.mktemp("refusals") / "models"
    store = Store.open(directory)
    for name in ("starter", "starter-embed", "starter-rerank"):
        store.pull(name)
    with LiveDaemon(directory) as running:
        yield running.ready()
        assert running.log("fail audit") == []


def _embedding(**body: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/embeddings", {"model": "starter-embed"} | body


def _ranking(**body: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/rerank", {"model": "starter-rerank", "query": "q", "documents": ["a"]} | body


BAD = {
    "no input": (_embedding(), "input"),
    "empty text": (_embedding(input=""), "input"),
    "an empty text among others": (_embedding(input=["a", ""]), "input"),
    "empty list": (_embedding(input=[]), "input"),
    "a number": (_embedding(input=3), "input"),
    "an object": (_embedding(input={"text": "a"}), "input"),
    "mixed": (_embedding(input=["a", 3]), "input"),
    "an empty token list": (_embedding(input=[[1], []]), "input"),
    "a token outside the vocabulary": (_embedding(input=[[1, 100_000]]), "input"),
    "2,049 texts": (_embedding(input=["a"] * 2049), "input"),
    "100,000 texts": (_embedding(input=["a"] * 100_000), "input"),
    "dimensions 0": (_embedding(input="a", dimensions=0), "dimensions"),
    "dimensions beyond the vector": (_embedding(input="a", dimensions=257), "dimensions"),
    "dimensions as a text": (_embedding(input="a", dimensions="64"), "dimensions"),
    "an unknown format": (_embedding(input="a", encoding_format="hex"), "encoding_format"),
    "a format without a name": (_embedding(input="a", encoding_format=""), "encoding_format"),
    "an unknown prompt": (_embedding(input="a", prompt_name="nonsense"), "prompt_name"),
    "an unknown input type": (_embedding(input="a", input_type="nonsense"), "input_type"),
    "a prompt before token ids": (_embedding(input=[1, 2], prompt_name="query"), "prompt_name"),
    "no query": (_ranking(query=None), "query"),
    "an empty query": (_ranking(query=""), "query"),
    "no documents": (_ranking(documents=[]), "documents"),
    "documents as a text": (_ranking(documents="a"), "documents"),
    "an empty document": (_ranking(documents=["a", ""]), "documents"),
    "a document without text": (_ranking(documents=[{"title": "a"}]), "documents[0].text"),
    "100,000 documents": (_ranking(documents=["a"] * 100_000), "documents"),
    "top_n 0": (_ranking(top_n=0), "top_n"),
    "a query that fills the context": (_ranking(query="word " * 1000), "query"),
    "50 MB": (_embedding(input=MEGABYTES_50), "input"),
    "50 MB among others": (_embedding(input=["a", MEGABYTES_50]), "input"),
    "a document of 50 MB": (_ranking(documents=["a", MEGABYTES_50]), "documents"),
    "a query of 50 MB": (_ranking(query=MEGABYTES_50), "query"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_a_400_that_names_the_field(daemon: LiveDaemon, case: str) -> None:
    (path, body), param = BAD[case]
    answer = daemon.post(path, **body)
    assert answer.status == 400, answer.body
    assert answer.json["error"]["param"] == param and answer.json["error"]["type"] == "invalid_request_error"


NUMBERS = {
    "a text": _embedding(input=math.nan),
    "a token": _embedding(input=[1, math.nan]),
    "dimensions": _embedding(input="a", dimensions=math.inf),
    "a query": _ranking(query=math.nan),
    "a document": _ranking(documents=["a", math.nan]),
    "top_n": _ranking(top_n=-math.inf),
    "Ollama's text": ("/api/embed", {"model": "starter-embed", "input": [math.nan]}),
    "Ollama's option": ("/api/embed", {"model": "starter-embed", "input": "a", "options": {"num_ctx": math.nan}}),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers_that_json_does_not_know(daemon: LiveDaemon, case: str) -> None:
    """As Python writes NaN and infinity."""
    path, body = NUMBERS[case]
    answer = daemon.post(path, **body)
    assert answer.status == 400 and "JSON" in json.dumps(answer.json), answer.body


def test_a_token_beyond_all_numbers(daemon: LiveDaemon) -> None:
    with httpx.Client(trust_env=False, verify=False) as http:
        answer = http.post(f"{daemon.url}/v1/embeddings", content=b'{"model":"starter-embed","input":[1e999]}')
    assert answer.status_code == 400, answer.text


def test_megabytes_hold_nobody_up(daemon: LiveDaemon) -> None:
    """While three requests of 50 MB or 100,000 texts are read and refused, others embed, rank and chat."""
    running = daemon.chat_stream("starter", "What is 2 + 3?", max_tokens=400, ignore_eos=True)
    hostile = [_embedding(input=MEGABYTES_50), _ranking(documents=[MEGABYTES_50]), _embedding(input=["a"] * 100_000)]

    def small() -> list[int]:
        path, body = _ranking()
        asks = [_embedding(input="hello"), (path, body)] * 10
        return [daemon.post(path, **body).status for path, body in asks]

    calls: list[Any] = [lambda ask=ask: daemon.post(ask[0], **ask[1]).status for ask in hostile]
    *ends, others = together([*calls, small])
    assert ends == [400] * 3 and others == [200] * 20
    assert running.wait_for_text()
    running.drop()


def test_fifty_megabytes_are_cut_where_the_client_asks_for_it(daemon: LiveDaemon) -> None:
    answer = daemon.post("/v1/embeddings", model="starter-embed", input=[MEGABYTES_50, "a"], truncate=True).json
    assert [one.get("truncated") for one in answer["data"]] == [True, None]
    assert daemon.post("/api/embed", model="starter-embed", input=MEGABYTES_50).json["prompt_truncated"] is True


@pytest.mark.parametrize(("value", "said"), [(3, "invalid input type"), (["a", 3], "invalid input type")])
def test_ollamas_words_for_a_wrong_type(daemon: LiveDaemon, value: Any, said: str) -> None:
    answer = daemon.post("/api/embed", model="starter-embed", input=value)
    assert (answer.status, answer.json) == (400, {"error": said})


def test_ollamas_words_for_an_unknown_model(llama: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match='model "none" not found, try pulling it first') as unknown:
        llama.embed(model="none", input="a")
    assert unknown.value.status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "instead"),
    [
        ("/v1/embeddings", {"model": "starter", "input": "a"}, "/v1/chat/completions"),
        ("/v1/embeddings", {"model": "starter-rerank", "input": "a"}, "/v1/rerank"),
        ("/api/embed", {"model": "starter", "input": "a"}, "/api/chat"),
        ("/v1/rerank", {"model": "starter-embed", "query": "q", "documents": ["a"]}, "/v1/embeddings"),
        (
            "/v1/chat/completions",
            {"model": "starter-embed", "messages": [{"role": "user", "content": "a"}]},
            "/v1/embeddings",
        ),
        ("/api/generate", {"model": "starter-rerank", "prompt": "a"}, "/v1/rerank"),
    ],
)
def test_a_model_of_another_kind_is_told_where_it_belongs(
    daemon: LiveDaemon, path: str, body: dict[str, Any], instead: str
) -> None:
    answer = daemon.post(path, **body)
    assert answer.status == 400 and instead in json.dumps(answer.json)
