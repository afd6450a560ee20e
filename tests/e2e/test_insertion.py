"""`suffix` through the real daemon, with both official clients: what is inserted, what is refused, the lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ollama
import openai
import pytest
from e2e.scripted_model import write_scripted
from support.inserting_model import INSERTED, MARKERS, write_inserting
from support.live_daemon import LiveDaemon

from mlx_serve.store.store import Store

BEFORE, BEHIND = "def f(x):\n", "\nprint(f(1))\n"
CODE = f"print('{MARKERS[1]}', '<|fim_middle|>')\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inserting")


@pytest.fixture(scope="module")
def daemon(folder: Path) -> Iterator[LiveDaemon]:
    """With `coder`, which can insert, and `scripted`, which cannot."""
    store = Store.open(folder / "models")
    store.pull(str(write_inserting(folder / "coder")))
    store.pull(str(write_scripted(folder / "scripted")))
    with LiveDaemon(folder / "models", cache_max_llm_models=2) as running:
        yield running.ready()
        assert running.log("fail audit") == []


@pytest.fixture
def completions(gpt: openai.OpenAI) -> openai.resources.Completions:
    return gpt.completions


def test_openai(completions: openai.resources.Completions) -> None:
    """Whole and streamed, several choices with probabilities, several prompts, stop strings; the code's own markers
    are text, letter by letter in this vocabulary."""
    given: Any = {"model": "coder", "prompt": BEFORE, "suffix": BEHIND, "max_tokens": 100}
    answer = completions.create(**given)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == (INSERTED, "stop")
    chunks = list(completions.create(**given, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == INSERTED
    assert chunks[-1].choices[0].finish_reason == "stop"
    several = completions.create(**given | {"prompt": [BEFORE, CODE]}, n=2, logprobs=2)
    assert [choice.text for choice in several.choices] == [INSERTED] * 4
    for choice in several.choices:
        assert choice.logprobs is not None and choice.logprobs.tokens is not None
        spelled = "".join(choice.logprobs.tokens)  # a part of a letter is there by its bytes
        assert spelled.startswith("    return <think>x + ") and "\\xc3" in spelled and spelled.endswith("hink>")
    stopped = completions.create(**given, stop=["x +"])
    assert stopped.choices[0].text == INSERTED[: INSERTED.index("x +")]
    markers = completions.create(**given | {"prompt": CODE, "suffix": CODE})
    assert markers.choices[0].text == INSERTED
    assert markers.usage is not None and markers.usage.prompt_tokens == 3 + 2 * len(CODE)


def test_ollama(llama: ollama.Client) -> None:
    """Whole and streamed, at the very beginning of a file, with a limit; what is too long is cut, unless it may not."""
    assert llama.generate("coder", BEFORE, suffix=BEHIND).response == INSERTED
    assert llama.generate("coder", "", suffix=BEHIND).response == INSERTED
    parts = list(llama.generate("coder", BEFORE, suffix=BEHIND, stream=True))
    assert "".join(part.response for part in parts) == INSERTED and parts[-1].done_reason == "stop"
    short = llama.generate("coder", BEFORE, suffix=BEHIND, options={"num_predict": 2})
    assert short.done_reason == "length" and INSERTED.startswith(short.response)
    cut = llama.generate("coder", BEFORE * 100, suffix=BEHIND * 100, options={"num_ctx": 128})
    assert cut.response == INSERTED and cut.prompt_eval_count == 96
    body: dict[str, Any] = {"model": "coder", "prompt": BEFORE * 100, "suffix": BEHIND, "truncate": False}
    refused = llama._client.post("/api/generate", json=body | {"options": {"num_ctx": 128}})
    assert refused.status_code == 400 and "maximum context length" in refused.json()["error"]


def test_too_long_for_openai(completions: openai.resources.Completions) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        completions.create(model="coder", prompt=BEFORE * 10_000, suffix=BEHIND)
    assert caught.value.code == "context_length_exceeded" and caught.value.param == "prompt"


def test_what_is_refused(daemon: LiveDaemon, completions: openai.resources.Completions, llama: ollama.Client) -> None:
    """A model without the tokens, before it is loaded; echo and token ids."""
    with pytest.raises(openai.BadRequestError, match="no fill-in-the-middle tokens") as caught:
        completions.create(model="scripted", prompt="a", suffix="b")
    assert caught.value.param == "suffix"
    with pytest.raises(ollama.ResponseError, match=r"^local/scripted:latest does not support insert"):
        llama.generate("scripted", "a", suffix="b")
    assert "local/scripted" not in " ".join(daemon.runners())
    for more in ({"echo": True}, {"prompt": [1, 2]}):
        with pytest.raises(openai.BadRequestError) as caught:
            completions.create(**{"model": "coder", "prompt": "a", "suffix": "b"} | more)  # type: ignore[call-overload]
        assert caught.value.param == "suffix"


def test_lists(daemon: LiveDaemon, llama: ollama.Client, folder: Path) -> None:
    """A model made with another template, or of uploaded files, can still insert, or still cannot."""
    llama.create("templated", from_="coder", template="{{ messages[0].content }}")
    files = {path.name: llama.create_blob(path) for path in (folder / "coder").iterdir()}
    llama.create("uploaded", files=files, template="{{ messages[0].content }}")
    llama.create("plain", from_="scripted", template="{{ messages[0].content }}")
    cards = {card["id"]: card["capabilities"] for card in daemon.get("/v1/models").json["data"]}
    tags = {tag["model"]: tag["capabilities"] for tag in daemon.get("/api/tags").json["models"]}
    for name in ("coder", "templated", "uploaded", "scripted", "plain"):
        can = name not in ("scripted", "plain")
        assert ("insert" in (llama.show(name).capabilities or [])) == can
        assert [("insert" in said) for key, said in cards.items() if key.endswith(name)] == [can]
        assert [("insert" in said) for key, said in tags.items() if key.endswith(f"{name}:latest")] == [can]
    for name in ("templated", "uploaded"):
        assert llama.generate(name, BEFORE, suffix=BEHIND).response == INSERTED
