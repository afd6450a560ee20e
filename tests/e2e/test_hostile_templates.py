"""A chat template that never ends, and megabytes that nobody waits for: whoever sends them is alone with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from e2e.scripted_model import HELLO, write_scripted
from support.extent import only_long
from support.live_daemon import LiveDaemon, wait_until
from support.process_use import memory

from mlx_serve.store.store import Store

ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


@pytest.fixture(scope="module")
def daemon(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    """With a model that says what it is told, and whose chat template runs for ever."""
    folder = write_scripted(tmp_path_factory.mktemp("endless") / "endless")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": ENDLESS}))
    store = tmp_path_factory.mktemp("hostile") / "models"
    shutil.copytree(models, store, symlinks=True)
    Store.open(store).pull(str(folder))
    with LiveDaemon(store) as running:
        yield running.ready()


def say_hello(daemon: LiveDaemon) -> None:
    answer = daemon.post("/v1/completions", model="endless", prompt="say H", max_tokens=20)
    assert answer.status == 200 and answer.json["choices"][0]["text"] == HELLO.text, answer.body


@only_long
def test_a_template_that_never_ends_fails_who_uses_it(daemon: LiveDaemon) -> None:
    """In both dialects, with a sentence; the same model's completions are answered meanwhile, by the same process."""
    say_hello(daemon)
    pid = daemon.runner("local/endless")
    messages = [{"role": "user", "content": "say H"}]
    with ThreadPoolExecutor(2) as pool:
        openai = pool.submit(daemon.chat, "endless", "say H")
        ollama = pool.submit(daemon.post, "/api/chat", model="endless", messages=messages)
        while not (openai.done() and ollama.done()):
            say_hello(daemon)
    message = "the chat template took longer than 5 s on these messages"
    assert (openai.result().status, openai.result().error["message"]) == (400, message)
    assert ollama.result().status == 200, "a stream's head does not wait so long"
    assert message in json.loads(ollama.result().body.splitlines()[-1])["error"]
    assert daemon.runner("local/endless") == pid
    daemon.wait_for_rest(5)


def at_work(daemon: LiveDaemon) -> list[int]:
    """The processes that are tokenizing megabytes."""
    family = psutil.Process(daemon.runner("local/endless")).children(recursive=True)
    return [each.pid for each in family if memory(each) > 100 << 20]


def test_megabytes_end_with_their_client(daemon: LiveDaemon) -> None:
    """They would fit by their length; the client hangs up while they are tokenized, and all of it ends."""
    say_hello(daemon)
    text = "the; quick; brown; fox; " * (
        5_000_000 // 24
    )  # which is tokenized as a whole, for no blank is behind a letter
    client = daemon.connect()
    body = json.dumps({"model": "endless", "prompt": text, "max_tokens": 1})
    client.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    wait_until(lambda: at_work(daemon), "the text is being tokenized")
    say_hello(daemon)
    assert at_work(daemon)
    client.close()
    wait_until(lambda: not at_work(daemon), "nobody is at it any more")
    daemon.wait_for_rest(5)
    say_hello(daemon)
