"""The official `ollama` package, blocking and asynchronous, against the real daemon with real models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import ollama
import pytest
from e2e.scripted_model import ENDLESS, HELLO
from support.live_daemon import LiveDaemon, wait_until

SAY_H = [{"role": "user", "content": "say H"}]
ROUND = ENDLESS[0]


@pytest.fixture(scope="module")
def client(daemon: LiveDaemon) -> Iterator[ollama.Client]:
    made = ollama.Client(host=daemon.url, verify=False, trust_env=False, timeout=60)
    yield made
    made._client.close()


@pytest.fixture
async def waiting(daemon: LiveDaemon) -> AsyncIterator[ollama.AsyncClient]:
    """The asynchronous client."""
    made = ollama.AsyncClient(host=daemon.url, verify=False, trust_env=False, timeout=60)
    yield made
    await made._client.aclose()


def loaded(client: ollama.Client) -> list[str | None]:
    return [model.model for model in client.ps().models]


def test_chat(client: ollama.Client) -> None:
    answer = client.chat("scripted", SAY_H)
    assert answer.message.content == HELLO.text and answer.message.role == "assistant"
    assert answer.done and answer.done_reason == "stop" and answer.eval_count == len(HELLO.pieces)
    assert answer.total_duration and answer.eval_duration and answer.model == "scripted"
    parts = list(client.chat("scripted", SAY_H, stream=True))
    assert "".join(part.message.content or "" for part in parts) == HELLO.text
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]


def test_generate(client: ollama.Client) -> None:
    """With the template, without it, streamed, cut, and going on from a context."""
    assert client.generate("scripted", "say H").response == HELLO.text
    assert client.generate("scripted", "say H", raw=True).response == HELLO.text
    assert "".join(part.response for part in client.generate("scripted", "say H", stream=True)) == HELLO.text
    cut = client.generate("scripted", "say P", options={"num_predict": 5})
    assert cut.response == ROUND.beginning(5) and cut.done_reason == "length" and cut.eval_count == 5
    assert cut.context is not None and client.generate("scripted", "say H", context=cut.context).response == HELLO.text
    stopped = client.generate("scripted", "say P", options={"stop": [" p3"]})
    assert stopped.response == ROUND.beginning(3) and stopped.done_reason == "stop"


def test_seed(client: ollama.Client) -> None:
    """The starter is sure of its answers; what a person says is open."""

    def drawn(seed: int) -> str:
        said = "<|im_start|>user\nRepeat these words:"
        options = {"seed": seed, "temperature": 1.5, "num_predict": 24}
        return client.generate("starter", said, raw=True, options=options).response

    assert drawn(7) == drawn(7) != drawn(8)


def test_list_and_show(client: ollama.Client, daemon: LiveDaemon) -> None:
    models = {model.model: model for model in client.list().models}
    scripted = models["scripted:latest"]
    assert scripted.details is not None and scripted.details.family == "llama" and scripted.size
    shown = client.show("scripted")
    assert shown.modelinfo is not None and shown.modelinfo["llama.context_length"] == 1 << 18
    assert shown.capabilities is not None and {"completion", "tools"} <= set(shown.capabilities)
    with pytest.raises(ollama.ResponseError, match="model 'nobody:latest' not found"):
        client.show("nobody")


def test_copy_and_delete(client: ollama.Client, daemon: LiveDaemon) -> None:
    """A second name answers, and goes without harm to the first: not even its requests have to end."""
    assert client.copy("scripted", "local/mine").status == "success"
    assert client.chat("mine", SAY_H).message.content == HELLO.text
    pid = daemon.runner("local/scripted")
    with daemon.ollama_stream("scripted", "say P") as stream:
        assert stream.wait_for_text()
        assert client.delete("local/mine").status == "success"
        assert stream.wait_for_text() and daemon.runner("local/scripted") == pid
    assert "mine:latest" not in [model.model for model in client.list().models]
    with pytest.raises(ollama.ResponseError) as gone:
        client.chat("mine", SAY_H)
    assert gone.value.status_code == 404
    assert client.chat("scripted", SAY_H).message.content == HELLO.text
    with pytest.raises(ollama.ResponseError, match="not found"):
        client.delete("local/mine")


def test_pull(client: ollama.Client) -> None:
    assert client.pull("starter").status == "success"
    assert [part.status for part in client.pull("starter", stream=True)][-1] == "success"
    with pytest.raises(ollama.ResponseError, match="hub"):
        client.pull("some/repository")


def test_load_and_unload_by_an_empty_prompt(client: ollama.Client) -> None:
    loading = client.generate("qwen3", "")
    assert loading.done and loading.done_reason == "load" and loading.response == ""
    assert "qwen3:latest" in loaded(client)
    unloading = client.generate("qwen3", "", keep_alive=0)
    assert unloading.done and unloading.done_reason == "unload"
    assert "qwen3:latest" not in loaded(client), "its memory is free when the answer comes"
    assert client.chat("qwen3", []).done_reason == "load"
    assert client.chat("qwen3", [], keep_alive=0).done_reason == "unload"
    assert "qwen3:latest" not in loaded(client)


def test_keep_alive_zero_unloads_after_the_answer(client: ollama.Client) -> None:
    assert client.generate("qwen3", "hello", keep_alive=0, options={"num_predict": 3}).eval_count == 3
    wait_until(lambda: "qwen3:latest" not in loaded(client), "the model is unloaded")


def test_keep_alive_shows_in_ps(client: ollama.Client) -> None:
    client.chat("scripted", SAY_H, keep_alive="2h")
    (model,) = [model for model in client.ps().models if model.model == "scripted:latest"]
    assert model.expires_at is not None and model.size and model.size_vram is not None
    assert 7000 < (model.expires_at - datetime.now(UTC)).total_seconds() <= 7200
    client.chat("scripted", SAY_H, keep_alive=-1)
    (model,) = [model for model in client.ps().models if model.model == "scripted:latest"]
    assert model.expires_at is not None and (model.expires_at - datetime.now(UTC)).days > 3650


def test_errors(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'nobody' not found") as unknown:
        client.chat("nobody", SAY_H)
    assert unknown.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="top_p") as wrong:
        client.generate("scripted", "say H", options={"top_p": 7})
    assert wrong.value.status_code == 400
    with pytest.raises(ollama.ResponseError) as format_refused:
        client.generate("scripted", "say H", format={"type": "nothing"})
    assert format_refused.value.status_code == 400


async def test_the_asynchronous_client(waiting: ollama.AsyncClient) -> None:
    assert (await waiting.chat("scripted", SAY_H)).message.content == HELLO.text
    parts = [part async for part in await waiting.chat("scripted", SAY_H, stream=True)]
    assert "".join(part.message.content or "" for part in parts) == HELLO.text and parts[-1].done
    assert (await waiting.generate("scripted", "say H")).response == HELLO.text
    assert "scripted:latest" in [model.model for model in (await waiting.list()).models]
    assert "scripted:latest" in [model.model for model in (await waiting.ps()).models]
    assert (await waiting.show("scripted")).details is not None
    with pytest.raises(ollama.ResponseError) as unknown:
        await waiting.show("nobody")
    assert unknown.value.status_code == 404


def test_a_model_with_a_system_prompt_and_settings_of_its_own(client: ollama.Client) -> None:
    """create, show and chat; in memory it is the model it was made from, not a second one."""
    client.generate("scripted", "say H")
    made = client.create("local/persona", from_="scripted", system="Be brief.", parameters={"num_predict": 2})
    try:
        assert made.status == "success"
        answer = client.chat("local/persona", SAY_H)
        assert answer.message.content == HELLO.beginning(2) and answer.done_reason == "length"
        assert client.chat("local/persona", SAY_H, options={"num_predict": 99}).message.content == HELLO.text
        assert client.show("local/persona").parameters == f"{'num_predict':<30} 2"
        assert loaded(client).count("persona:latest") == 0 and len(loaded(client)) == len(set(loaded(client)))
    finally:
        client.delete("local/persona")
    assert client.chat("scripted", SAY_H).message.content == HELLO.text


def test_a_quantized_model_with_settings(client: ollama.Client) -> None:
    """Ollama's names of GGUF types; the result answers, and names its parent."""
    parts = list(client.create("local/small", from_="scripted", quantize="q8_0", system="x", stream=True))
    try:
        assert parts[-1].status == "success"
        assert any(part.status == "quantizing model to 8 bits (affine)" for part in parts)
        shown = client.show("local/small")
        assert shown.details is not None and shown.details.quantization_level == "int8"
        assert client.chat("local/small", SAY_H).message.content
    finally:
        client.delete("local/small")


def test_files_that_the_client_uploads(client: ollama.Client, tmp_path: Path) -> None:
    """create_blob streams without a length; what nobody can make a model of is refused in words."""
    (tmp_path / "config.json").write_text('{"model_type": "qwen3"}')
    digest = client.create_blob(tmp_path / "config.json")
    assert digest == client.create_blob(tmp_path / "config.json")
    with pytest.raises(ollama.ResponseError, match="safetensors"):
        client.create("local/nothing", files={"config.json": digest})
