"""create and blobs over a real connection and a real store: what is made, refused, and felt by later requests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.serving import Serving

from mlx_serve.daemon.protocol import ChatPrompt, Generate
from mlx_serve.store.disk.pins import Pins
from mlx_serve.store.store import Store

TEMPLATE = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{% endfor %}"
CONFIG = {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_size": 4}
HI = {"role": "user", "content": "hi"}


def safetensors() -> bytes:
    header = json.dumps({"model.norm.weight": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(16)


FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "tokenizer.json": b'{"version":"1.0"}',
    "generation_config.json": b'{"temperature":0.6}',
    "model.safetensors": safetensors(),
}


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def store(serving: Serving, tmp_path: Path) -> Store:
    """A real store with one model, local/base, in place of the fake one."""
    folder = tmp_path / "base"
    folder.mkdir()
    for path, content in FILES.items():
        (folder / path).write_bytes(content)
    real = Store.open(tmp_path / "models")
    real.pull_folder(folder)
    serving.context.store = real
    serving.residency.store = real  # type: ignore[assignment]
    return real


async def create(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/api/create", json={"model": "local/made", "stream": False} | body)


async def asked(serving: Serving, client: httpx.AsyncClient, path: str = "/api/chat", **body: Any) -> Generate:
    """What reaches the engine for a request to the made model."""
    answer = await client.post(path, json={"model": "local/made", "stream": False} | body)
    assert answer.status_code == 200, answer.text
    return serving.engine.requests[-1]


async def test_system_prompt_template_and_parameters_stand_under_every_request(
    serving: Serving, client: httpx.AsyncClient, store: Store
) -> None:
    parameters = {"temperature": 0.1, "stop": ["END"], "num_predict": 7, "num_ctx": 64, "seed": 3, "unknown": 1}
    parameters |= {"thinking_budget": 9}
    made = await create(client, **{"from": "local/base"}, system="Be brief.", template=TEMPLATE, parameters=parameters)
    assert made.json() == {"status": "success"}
    for path in ("/api/chat", "/v1/chat/completions"):
        request = await asked(serving, client, path, messages=[HI])
        assert isinstance(request.prompt, ChatPrompt) and request.prompt.template == TEMPLATE
        assert request.prompt.messages == ({"role": "system", "content": "Be brief."}, HI)
        assert (request.sampling.temperature, request.sampling.seed, request.stop) == (0.1, 3, ("END",))
        assert (request.max_tokens, request.context_length, request.prompt.thinking_budget) == (7, 64, 9)
    generate = await asked(serving, client, "/api/generate", prompt="hi")
    assert isinstance(generate.prompt, ChatPrompt) and generate.prompt.messages[0]["content"] == "Be brief."


async def test_what_the_request_says_wins(serving: Serving, client: httpx.AsyncClient, store: Store) -> None:
    await create(
        client, **{"from": "local/base"}, system="Be brief.", parameters={"temperature": 0.1, "num_ctx": 64, "top_k": 5}
    )
    own = {"role": "system", "content": "Be long."}
    options = {"temperature": 0.9, "num_ctx": 32, "stop": ["X"], "num_predict": 2}
    request = await asked(serving, client, messages=[own, HI], options=options)
    assert isinstance(request.prompt, ChatPrompt) and request.prompt.messages == (own, HI)
    assert (request.sampling.temperature, request.sampling.top_k, request.stop) == (0.9, 5, ("X",))
    assert (request.max_tokens, request.context_length) == (2, 32)


async def test_first_messages_stand_between_the_system_prompt_and_the_conversation(
    serving: Serving, client: httpx.AsyncClient, store: Store
) -> None:
    said = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]
    own = {"role": "system", "content": "Count."}
    await create(client, **{"from": "local/base"}, messages=said)
    assert (await asked(serving, client, messages=[HI])).prompt.messages == (*said, HI)  # type: ignore[union-attr]
    assert (await asked(serving, client, messages=[own, HI])).prompt.messages == (own, *said, HI)  # type: ignore[union-attr]


async def test_a_model_made_of_a_made_one_inherits(serving: Serving, client: httpx.AsyncClient, store: Store) -> None:
    """Single parameters replace the parent's, a system prompt the whole, and an empty one takes it away."""
    await create(client, **{"from": "local/base"}, system="A", parameters={"temperature": 0.1, "top_k": 5})
    await create(client, model="local/child", **{"from": "local/made"}, system="B", parameters={"top_k": 9})
    child = store.find("local/child").manifest.overrides
    assert (child.system, child.parameters) == ("B", {"temperature": 0.1, "top_k": 9})
    await create(client, model="local/bare", **{"from": "local/made"}, system="")
    assert store.find("local/bare").manifest.overrides.system is None
    # They share the files, and with them one process in memory.
    base = store.find("local/base")
    assert {store.find(name).base for name in ("local/made", "local/child", "local/bare")} == {base.digest}


async def test_show_tells_what_was_laid_over(client: httpx.AsyncClient, store: Store) -> None:
    await create(
        client,
        **{"from": "local/base"},
        system="Be brief.",
        template=TEMPLATE,
        license="MINE",
        messages=[HI],
        parameters={"temperature": 0.1, "stop": ["a", "b"]},
    )
    shown = (await client.post("/api/show", json={"model": "local/made"})).json()
    assert (shown["system"], shown["template"], shown["license"]) == ("Be brief.", TEMPLATE, "MINE")
    assert shown["messages"] == [HI]
    listed = [line.split() for line in shown["parameters"].splitlines()]
    assert listed == [["temperature", "0.1"], ["stop", '"a"'], ["stop", '"b"']]
    assert 'SYSTEM """Be brief."""' in shown["modelfile"] and "MESSAGE user hi" in shown["modelfile"]
    assert shown["details"]["parent_model"] == store.find("local/base").digest


async def test_the_stream_ends_with_success(client: httpx.AsyncClient, store: Store) -> None:
    answer = await create(client, **{"from": "local/base"}, system="x", stream=True)
    states = [json.loads(line)["status"] for line in answer.text.splitlines()]
    assert states[-2:] == ["writing manifest", "success"]
    assert states[0].startswith("using existing layer sha256:")


async def test_without_settings_it_is_a_copy(client: httpx.AsyncClient, store: Store) -> None:
    await create(client, **{"from": "local/base"})
    assert store.find("local/made").digest == store.find("local/base").digest


async def test_uploaded_files_become_a_model(client: httpx.AsyncClient, store: Store) -> None:
    store.remove("local/base")
    for path, content in FILES.items():
        url = f"/api/blobs/{digest(content)}"
        assert (await client.head(url)).status_code == 404, path
        assert (await client.post(url, content=content)).status_code == 201
        assert (await client.head(url)).status_code == 200
        assert (await client.post(url, content=b"never read")).status_code == 200
    assert store.gc().blobs == 0, "a sweep took what create is about to name"
    made = await create(client, files={path: digest(content) for path, content in FILES.items()}, system="x")
    assert made.status_code == 200, made.text
    model = store.find("local/made")
    assert (model.manifest.kind, model.manifest.overrides.system) == ("llm", "x")
    assert {path.name for path in store.view(model).iterdir()} == set(FILES)
    assert all(seen.ok for seen in store.verify())
    store.remove("local/made")
    assert not list((store.directory / "blobs").iterdir()), "promises outlived the model that was made"


async def test_an_upload_in_chunks_larger_than_a_body_may_be(
    serving: Serving, client: httpx.AsyncClient, store: Store
) -> None:
    """The official client streams without a length; the limit of server.max_body_mb is for what is held in memory."""
    part = bytes(range(256)) * 4096
    count = serving.context.settings.server.max_body_mb + 3

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield part

    whole = hashlib.sha256()
    for _ in range(count):
        whole.update(part)
    answer = await client.post(f"/api/blobs/sha256:{whole.hexdigest()}", content=parts())
    assert answer.status_code == 201, answer.text
    assert (store.directory / "blobs" / f"sha256-{whole.hexdigest()}").stat().st_size == count * len(part)


async def test_an_upload_with_another_content_leaves_nothing(client: httpx.AsyncClient, store: Store) -> None:
    before = sorted((store.directory / "blobs").iterdir())
    answer = await client.post(f"/api/blobs/{digest(b'one')}", content=b"other")
    assert answer.status_code == 400
    assert answer.json()["error"] == f'digest mismatch, expected "{digest(b"one")}", got "{digest(b"other")}"'
    assert sorted((store.directory / "blobs").iterdir()) == before
    assert (await client.head(f"/api/blobs/{digest(b'one')}")).status_code == 404


@pytest.mark.parametrize("text", ["sha256:12", "md5:" + "a" * 64, "sha256:" + "g" * 64, "..%2f..%2fetc%2fpasswd"])
async def test_no_digest_no_blob(client: httpx.AsyncClient, store: Store, text: str) -> None:
    assert (await client.post(f"/api/blobs/{text}", content=b"x")).json() == {"error": "invalid digest format"}


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({}, 400, "neither 'from' or 'files' was specified"),
    ({"from": "local/none"}, 404, "model 'local/none' not found"),
    ({"from": "local/base", "model": "../x"}, 400, "invalid model name"),
    ({"from": "local/base", "template": "{{ .Prompt }}"}, 400, "template error: templates must be in Jinja"),
    ({"from": "local/base", "template": "{% for %}"}, 400, "template error: line 1"),
    ({"from": "local/base", "template": "hello"}, 400, "template error: it does not use messages"),
    ({"from": "local/base", "parameters": {"temperature": "hot"}}, 400, 'option "temperature" must be of type float32'),
    ({"from": "local/base", "parameters": {"top_p": 2}}, 400, 'option "top_p" must be between 0 and 1'),
    ({"from": "local/base", "messages": [{"role": "king", "content": "x"}]}, 400, "must be one of"),
    ({"from": "local/base", "adapters": {"a": "b"}}, 400, "'adapters' is not supported"),
    ({"from": "local/base", "renderer": "x"}, 400, "'renderer' is not supported"),
    ({"from": "local/base", "quantize": "q9_K"}, 400, "unsupported quantization type q9_K"),
    ({"files": {"config.json": "sha256:" + "0" * 64}, "quantize": "q8_0"}, 400, "together with 'files'"),
    ({"files": {"config.json": "sha256:" + "0" * 64}}, 400, "has not been uploaded"),
    ({"files": {"../config.json": "sha256:" + "0" * 64}}, 400, "file path must be relative"),
    ({"files": {"evil.py": "sha256:" + "0" * 64}}, 400, "is not a file of a model"),
    ({"files": {"model.gguf": "sha256:" + "0" * 64}}, 400, "is not a file of a model"),
    ({"files": {"config.json": "sha256:12"}}, 400, "invalid digest format"),
    ({"from": "local/base", "files": {"config.json": "x"}}, 400, "cannot be given together"),
]


@pytest.mark.parametrize(("body", "status", "words"), REFUSED, ids=[words for _, _, words in REFUSED])
async def test_what_cannot_be_made_is_said(
    client: httpx.AsyncClient, store: Store, body: dict[str, Any], status: int, words: str
) -> None:
    answer = await create(client, **body)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
    assert [model.name.display() for model in store.models()] == ["local/base"]


def test_a_promise_ends_with_its_time(store: Store, tmp_path: Path) -> None:
    """A file that was uploaded and never used goes with the downloads that nobody resumed."""
    import os
    import time

    with store.upload(digest(b"x"), 1) as incoming:
        incoming.write(b"x")
        incoming.commit()
    (promise,) = (store.directory / "partial").glob("*.promised")
    assert store.gc().blobs == 0 and isinstance(store._pins, Pins)
    long_ago = time.time() - 15 * 24 * 3600
    os.utime(promise, (long_ago, long_ago))
    assert store.gc().partials == 1
    assert store.gc().blobs == 1
