"""What Open WebUI, llm, LangChain, LlamaIndex, aider and Home Assistant send to Ollama's API, replayed to a model that
plays its part: all that they need of an answer. The shapes are recorded; Home Assistant's follow its source."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import ollama
import pytest
from support.client_shapes import needs_shapes, shape
from support.live_daemon import LiveDaemon
from support.spoken_agent import TEXTS, create, script, write_agent

from mlx_serve.store.store import Store

DURATIONS = ("total_duration", "prompt_eval_duration", "eval_duration")
HOUSE = {
    "type": "function",
    "function": {
        "name": "shell",
        "description": "Turns on a light",
        "parameters": {
            "type": "object",
            "properties": {
                "command": {"anyOf": [{"type": "string", "enum": ["on", "off"]}, {"type": "string"}]},
                "level": {"type": ["integer", "null"], "minimum": 0, "maximum": 100},
            },
            "required": ["command"],
        },
    },
}


@pytest.fixture(scope="module")
def playing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    """`shell` calls the tool and then says a sentence, `sentence` only says it, `json` answers in JSON."""
    folder = tmp_path_factory.mktemp("playing")
    write_agent(folder / "agent")
    store = Store.open(folder / "models")
    store.pull(str(folder / "agent"))
    store.pull("starter-embed")
    with LiveDaemon(folder / "models", cache_max_llm_models=2) as running:
        running.ready()
        create(running, "shell", script("shell"))
        create(running, "sentence", script("sentence"))
        create(running, "json", script("json"))
        yield running


def lines(daemon: LiveDaemon, body: dict[str, Any], path: str = "/api/chat") -> list[dict[str, Any]]:
    """Every line of a stream, each whole, with the message and the `done` that all clients read."""
    with daemon.stream(path, **body) as stream:
        assert stream.status == 200, stream.answer.read()
        found = list(stream)
        assert stream.whole
    for line in found:
        assert "error" not in line and line["message"]["role"] == "assistant"
        assert isinstance(line["message"]["content"], str) and datetime.fromisoformat(line["created_at"])
    *parts, last = found
    assert not any(part["done"] for part in parts) and last["done"] is True and last["done_reason"] == "stop"
    assert last["prompt_eval_count"] > 0 and last["eval_count"] > 0 and all(last[name] > 0 for name in DURATIONS)
    return found


def text(found: list[dict[str, Any]]) -> str:
    return "".join(line["message"]["content"] for line in found)


def calls(found: list[dict[str, Any]]) -> list[Any]:
    return [call for line in found for call in line["message"].get("tool_calls", [])]


def check_call(found: list[dict[str, Any]]) -> None:
    """One whole call, its arguments an object."""
    (call,) = calls(found)
    assert call["function"] == {"index": 0, "name": "shell", "arguments": {"command": "echo hi | tee made.txt"}}
    assert call["id"].startswith("call_") and text(found) == ""


@needs_shapes
@pytest.mark.parametrize("client", ["llm-ollama", "langchain-ollama", "llama-index"])
def test_an_agents_two_turns(playing: LiveDaemon, client: str) -> None:
    """The call, then its result: without ids, names, or content in the assistant's message."""
    first, second = ("2", "3") if client == "llm-ollama" else ("1", "2")
    check_call(lines(playing, shape(f"{client}-{first}", "shell")))
    said = lines(playing, shape(f"{client}-{second}", "shell"))
    assert text(said) == TEXTS["sentence"] and not calls(said)


@needs_shapes
def test_llm_and_aider_look_a_model_up(playing: LiveDaemon) -> None:
    """By the field of today and by that of old; the context's length is under the family's name."""
    for name in ("llm-ollama-1", "aider-2"):
        body = shape(name, "shell")
        if "name" in body:
            body["name"] = body.pop("model")
        shown = playing.post("/api/show", **body).json
        assert {"completion", "tools"} <= set(shown["capabilities"])
        (length,) = [value for key, value in shown["model_info"].items() if key.endswith(".context_length")]
        assert length > 0 and shown["model_info"]["llama.block_count"] == 1


def test_models_of_different_content_have_different_digests(playing: LiveDaemon) -> None:
    """llm keeps capabilities by digest; a second name of one model shares it."""
    assert playing.post("/api/copy", source="shell", destination="twin").status == 200
    tags = {tag["name"]: tag for tag in playing.get("/api/tags").json["models"]}
    assert tags["twin:latest"]["digest"] == tags["shell:latest"]["digest"] != tags["sentence:latest"]["digest"]
    create(playing, "twin", script("json"))
    (again,) = [tag for tag in playing.get("/api/tags").json["models"] if tag["name"] == "twin:latest"]
    assert again["digest"] not in (tags["twin:latest"]["digest"], tags["sentence:latest"]["digest"])
    assert playing.request("DELETE", "/api/delete", {"model": "twin"}).status == 200


@pytest.mark.parametrize("path", ["/api/tags", "/api/ps", "/api/version", "/v1/models"])
def test_a_listing_with_a_type_of_a_body_that_is_not_there(playing: LiveDaemon, path: str) -> None:
    """Open WebUI and LangChain say that they send JSON with every GET."""
    connection = playing.connect()
    try:
        connection.request("GET", path, headers={"Content-Type": "application/json", "Authorization": "Bearer none"})
        answer = connection.getresponse()
        assert answer.status == 200 and json.loads(answer.read())
    finally:
        connection.close()


@needs_shapes
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_open_webui_chats(playing: LiveDaemon, number: int) -> None:
    """The chat, and the title, tags and follow-ups that it asks for beside it; by the name that the list gave."""
    body = shape(f"open-webui-{number}", "sentence:latest")
    if body["stream"]:
        assert text(lines(playing, body)) == TEXTS["sentence"]
        return
    answer = playing.post("/api/chat", **body).json
    assert answer["message"]["content"] == TEXTS["sentence"] and answer["done"] is True
    assert answer["model"] == "sentence:latest" and all(answer[name] > 0 for name in DURATIONS)


@needs_shapes
def test_open_webui_embeds_and_unloads(playing: LiveDaemon) -> None:
    vectors = playing.post("/api/embed", **shape("open-webui-6", "starter-embed")).json["embeddings"]
    assert len(vectors) == 2 and len(vectors[0]) == len(vectors[1])
    playing.post("/api/chat", model="sentence", messages=[])
    unloaded = playing.post("/api/generate", **shape("open-webui-7", "sentence")).json
    assert (unloaded["done"], unloaded["done_reason"], unloaded["response"]) == (True, "unload", "")


@needs_shapes
def test_aider_chats_without_a_content_type(playing: LiveDaemon) -> None:
    """With empty lists of images and a context's length that changes each time."""
    body = json.dumps(shape("aider-3", "sentence"))
    connection = http.client.HTTPConnection("127.0.0.1", playing.port, timeout=60)
    try:
        connection.request("POST", "/api/chat", body)
        answer = connection.getresponse()
        found = [json.loads(line) for line in answer.read().splitlines()]
    finally:
        connection.close()
    assert answer.status == 200 and text(found) == TEXTS["sentence"] and found[-1]["done"]


def test_home_assistant(playing: LiveDaemon) -> None:
    """Kept for ever, thinking off on a model that has a switch or none, tools in its dialect of schemas, results as
    JSON text without a name; a task with a schema ends as JSON in full."""
    asked = [{"role": "system", "content": "A house."}, {"role": "user", "content": "Light!", "images": []}]
    body = {
        "messages": asked,
        "tools": [HOUSE],
        "stream": True,
        "keep_alive": -1,
        "options": {"num_ctx": 8192},
        "think": False,
    }
    found = lines(playing, body | {"model": "shell:latest"})
    check_call(found)
    (resident,) = [one for one in playing.get("/api/ps").json["models"] if one["expires_at"] > "2300"]
    assert resident["size"] > 0
    called = {"role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": calls(found)}
    result = {"role": "tool", "content": json.dumps({"data": "on", "error": None})}
    ended = lines(playing, body | {"model": "shell", "messages": [*asked, called, result], "keep_alive": "30s"})
    assert text(ended) == TEXTS["sentence"]
    form = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
    task = lines(playing, {"model": "json", "messages": asked, "format": form, "stream": True, "keep_alive": "30s"})
    done = json.loads(text(task))
    assert set(done) <= {"city", "days"} and isinstance(done["city"], str) and isinstance(done["days"], int)


def test_the_name_of_a_copy_is_the_name_in_every_list(playing: LiveDaemon) -> None:
    """As ChatOllama checks it: NAME, or NAME with a tag, must be listed; it answers in every dialect."""
    client = ollama.Client(host=playing.url, timeout=60)
    try:
        assert client.copy("starter-embed", "foo").status == "success"
        assert client.copy("sentence", "bar:v1").status == "success"
        names = [model.model for model in client.list().models]
        assert {"foo:latest", "bar:v1", "shell:latest", "starter-embed:latest"} <= set(names)
        cards = {card["id"] for card in playing.get("/v1/models").json["data"]}
        assert {"foo", "bar:v1", "shell", "starter-embed"} <= cards
        said = [{"role": "user", "content": "hi"}]
        assert client.chat("bar:v1", said).message.content == TEXTS["sentence"]
        answer = playing.post("/v1/chat/completions", model="bar:v1", messages=said).json
        assert answer["choices"][0]["message"]["content"] == TEXTS["sentence"]
        message = playing.post("/v1/messages", model="bar:v1", messages=said, max_tokens=50).json
        assert message["content"][0]["text"] == TEXTS["sentence"]
        with pytest.raises(ollama.ResponseError, match="does not push models"):
            client.push("bar:v1")
    finally:
        for name in ("foo", "bar:v1"):
            client.delete(name)
        client._client.close()


def test_a_template_of_the_request(playing: LiveDaemon) -> None:
    """Jinja is used; Go's language is refused with a sentence."""
    body = {"model": "agent", "prompt": "hi", "stream": False}
    answer = playing.post("/api/generate", **body, template=script("sentence"))
    assert answer.json["response"] == TEXTS["sentence"], answer.body
    refused = playing.post("/api/generate", **body, template="{{ if .System }}{{ .System }}{{ end }}{{ .Prompt }}")
    assert refused.status == 400 and "Jinja" in refused.json["error"]
    thought = playing.post("/api/generate", **body, template=script("thought")).json
    assert (thought["thinking"].strip(), thought["response"].strip()) == ("Let me see.", "The answer is 42.")


def test_show_in_full(playing: LiveDaemon) -> None:
    """From the files of a real checkpoint; the long lists only where they are asked for."""
    client = ollama.Client(host=playing.url, timeout=60)
    try:
        info = client.show("agent").modelinfo
        assert info is not None and info["general.architecture"] == "llama" and info["llama.attention.head_count"] == 2
        assert info["llama.attention.key_length"] == 16 and info["llama.rope.freq_base"] == 10000.0
        assert info["tokenizer.ggml.tokens"] is None
    finally:
        client._client.close()
    shown = playing.post("/api/show", model="agent", verbose=True).json
    assert len(shown["model_info"]["tokenizer.ggml.tokens"]) == shown["model_info"]["llama.vocab_size"]
    shapes = {tensor["name"]: tensor["shape"] for tensor in shown["tensors"]}
    assert shapes["model.norm.weight"] == [256]
