"""A model with a large tokenizer answers the same when Transformers is not asked for it any more."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.scripted_model import write_scripted
from support.live_daemon import LiveDaemon
from support.waiting import wait_until

from mlx_serve.daemon.engine.kernels.known_tokenizers import LEAST_BYTES
from mlx_serve.store.store import Store

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[LiveDaemon]:
    """With `scripted` in two sizes: `large` has a tokenizer.json as large as a real one."""
    store = Store.open(tmp_path / "models")
    small = write_scripted(tmp_path / "scripted")
    shutil.copytree(small, tmp_path / "large")
    path = tmp_path / "large" / "tokenizer.json"
    path.write_text(path.read_text() + " " * LEAST_BYTES)
    for folder in (small, tmp_path / "large"):
        store.pull(str(folder))
    with LiveDaemon(tmp_path / "models", cache_max_llm_models=2) as running:
        yield running.ready()


def answers(daemon: LiveDaemon, model: str) -> list[Any]:
    """Text, log-probabilities with the bytes of tokens, an answer of a given form, tokens, and a tool's call refused or
    made: what a tokenizer takes part in."""
    chat = {
        "model": model,
        "messages": [{"role": "user", "content": "say Hé 東京 🙂"}],
        "max_tokens": 24,
        "temperature": 0,
    }
    asks: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", chat),
        ("/v1/chat/completions", chat | {"logprobs": True, "top_logprobs": 2}),
        ("/v1/chat/completions", chat | {"response_format": {"type": "json_object"}}),
        ("/v1/chat/completions", chat | {"stop": ["é"]}),
        ("/v1/completions", {"model": model, "prompt": "say Hé", "max_tokens": 6, "temperature": 0, "echo": True}),
        ("/v1/tokenize", {"model": model, "input": ["Hé  東京 🙂 <|im_end|>", ""], "return_tokens": True}),
        ("/v1/detokenize", {"model": model, "tokens": list(range(40, 90))}),
    ]
    found = []
    for path, body in asks:
        answer = daemon.post(path, **body)
        assert answer.status == 200, (path, answer.body)
        found.append({key: value for key, value in answer.json.items() if key in ("choices", "usage", "data", "text")})
    return found


def kept(daemon: LiveDaemon) -> list[Path]:
    return list((daemon.home / "cache" / "tokenizers").glob("*/*.json"))


def test_the_next_load_gives_the_same(daemon: LiveDaemon) -> None:
    """While the model rests a process finds it out; nobody does for a small one, and the log has no word of it."""
    expected = answers(daemon, "scripted")
    before = answers(daemon, "large")
    wait_until(lambda: kept(daemon), "what the tokenizer comes to is kept")
    assert daemon.command("unload", "large").returncode == 0
    assert answers(daemon, "large") == before
    assert len(kept(daemon)) == 1
    assert [one["choices"][0].get("message") for one in before[:4]] == [
        one["choices"][0].get("message") for one in expected[:4]
    ]
    assert daemon.log("learn tokenizer") == [] and daemon.log("fail audit") == []


def test_what_is_damaged_on_disk_is_found_out_again(daemon: LiveDaemon) -> None:
    before = answers(daemon, "large")
    (file,) = wait_until(lambda: kept(daemon), "what the tokenizer comes to is kept")
    file.write_bytes(file.read_bytes()[:-3])
    assert daemon.command("unload", "large").returncode == 0
    assert answers(daemon, "large") == before
    whole = file.stat().st_size
    wait_until(lambda: file.exists() and file.stat().st_size > whole, "it is found out again")
