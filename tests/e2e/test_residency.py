"""Which models are in memory, as clients see it over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e.conftest import Start
from e2e.scripted_model import ENDLESS, HELLO
from support.extent import only_long
from support.live_daemon import LiveDaemon, together, wait_until
from support.live_http import Answer

CLIENTS = 50


@pytest.fixture(scope="module")
def lone(models: Path) -> Iterator[LiveDaemon]:
    """A daemon with room for one language model."""
    with LiveDaemon(models, spare=True, cache_max_llm_models=1, cache_ttl_seconds=1000) as daemon:
        yield daemon.ready()


def ask(daemon: LiveDaemon, model: str) -> Answer:
    return daemon.complete(model, "say H", max_tokens=2)


def waiting_or_running(daemon: LiveDaemon, count: int) -> None:
    wait_until(lambda: daemon.gauge("queue_running") + daemon.gauge("queue_waiting") == count, f"{count} requests")


def test_fifty_first_requests_are_one_load(lone: LiveDaemon) -> None:
    """In both dialects, and all are answered, though the first who asked leaves during the load."""
    first = lone.connect()
    first.request("POST", "/v1/completions", b'{"model": "scripted", "prompt": "say H"}')
    waiting_or_running(lone, 1)

    def client(number: int) -> str:
        if number == 0:
            first.close()
        if number % 2:
            return lone.chat("scripted", "say H").text
        return lone.post("/api/generate", model="scripted", prompt="say H", stream=False).text

    assert together([partial(client, number) for number in range(CLIENTS)]) == [HELLO.text] * CLIENTS
    assert len(lone.logged("load model name=local/scripted")) == 1


def test_the_idle_model_makes_room(lone: LiveDaemon) -> None:
    before = ask(lone, "scripted")
    assert before.status == 200 and set(lone.runners()) == {"local/scripted"}
    evicted = lone.runner("local/scripted")
    assert ask(lone, "llama").status == 200
    assert set(lone.runners()) == {"local/llama"}
    assert evicted not in [child.pid for child in lone.children()], "its process is gone, and its memory with it"


def loads(daemon: LiveDaemon) -> list[str]:
    """Which models were loaded, one after the other, as far as the log has it."""
    return [line.split()[2] for line in daemon.log("load model")]


def test_a_busy_model_is_not_put_out_and_those_who_wait_take_turns(lone: LiveDaemon) -> None:
    """First come, first served: the last to ask does not overtake."""
    script = ENDLESS[0]
    with lone.chat_stream("scripted", f"say {script.name}") as busy, ThreadPoolExecutor(2) as pool:
        assert busy.wait_for_text()
        pid = lone.runner("local/scripted")
        second = pool.submit(ask, lone, "llama")
        waiting_or_running(lone, 2)
        third = pool.submit(ask, lone, "qwen3")
        waiting_or_running(lone, 3)
        for _ in range(20):
            assert busy.wait_for_text()
        assert not second.done() and not third.done() and lone.runners() == {"local/scripted": pid}
        assert busy.text == script.beginning(busy.text.count(" "))
        busy.drop()
        assert second.result().status == third.result().status == 200
    wait_until(lambda: loads(lone)[-2:] == ["name=local/llama", "name=local/qwen3"], "they were loaded in this order")


@only_long
def test_a_model_that_is_always_busy_lets_another_in_and_comes_back(lone: LiveDaemon) -> None:
    """Eight clients, of whom one or another always holds the model; a request for another model is answered, and then
    theirs go on."""
    before, stop = len(lone.log("load model")), threading.Event()

    def client(number: int) -> set[int]:
        statuses = set()
        while not stop.is_set():
            statuses.add(lone.complete("scripted", "say P", max_tokens=100 + 20 * number).status)
        return statuses

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(client, number) for number in range(8)]
        try:
            wait_until(lambda: "local/scripted" in lone.runners(), "it is busy")
            assert ask(lone, "llama").status == 200
            wait_until(lambda: "local/scripted" in lone.runners(), "it is back")
        finally:
            stop.set()
        assert {status for one in clients for status in one.result()} == {200}
    names = ["name=local/llama", "name=local/scripted"]
    wait_until(lambda: loads(lone)[before:][-2:] == names, "they were loaded in this order")


def test_keep_alive_counts_from_the_last_use(lone: LiveDaemon) -> None:
    """By request, in both dialects; for ever; and until the configured time when nothing is said."""
    daemon = lone

    def expiry() -> float | None:
        (model,) = daemon.control("GET", "/ps")["models"]
        return None if model["expires_at"] is None else model["expires_at"] - model["last_used"]

    assert daemon.chat("scripted", "say H").text == HELLO.text
    assert expiry() == pytest.approx(1000, abs=5)
    assert daemon.chat("scripted", "say H", keep_alive=-1).text == HELLO.text
    assert expiry() is None
    assert daemon.post("/api/generate", model="scripted", prompt="say H", stream=False, keep_alive="10m").status == 200
    assert expiry() == pytest.approx(600, abs=5)
    with daemon.chat_stream("scripted", "say P", keep_alive=0.2) as stream:
        for _ in range(50):
            assert stream.wait_for_text()
    wait_until(lambda: daemon.runners() == {}, "its time is over")
    wait_until(lambda: daemon.log("unload model")[-1] == "unload model name=local/scripted", "its process is gone")


def test_preload_brings_models_in_before_anybody_asks(start: Start) -> None:
    """One that cannot be loaded is told in the log and stops neither the others nor the start."""
    daemon = start("--preload", "nobody", "--preload", "scripted", models_preload="starter")
    wait_until(lambda: "local/scripted" in daemon.runners(), "the model is there")
    assert daemon.chat("scripted", "say H").text == HELLO.text
    assert len(daemon.logged("load model")) == 1, "the flag wins over the environment"
    assert daemon.logged("fail preload name=nobody")


def test_memory_that_is_not_there_is_a_503_with_the_numbers(start: Start) -> None:
    """And the models that fit go on."""
    daemon = start(models_memory_limit="100MB")
    refused = daemon.chat("scripted", "say H")
    assert refused.status == 503 and refused.error["code"] == "insufficient_memory"
    assert "and 100 MB may be used" in refused.error["message"] and "models.memory_limit" in refused.error["message"]
    assert daemon.get("/healthz").status == 200


def private(pid: int) -> int:
    """Bytes of a model's process, and of those that prepare its prompts, which share memory with each other."""
    process = psutil.Process(pid)
    memory = process.memory_info()
    helpers = [child.memory_full_info() for child in process.children(recursive=True)]
    return int(memory.rss - getattr(memory, "shared", 0)) + sum(getattr(each, "pss", each.uss) for each in helpers)


def test_the_processes_stay_within_the_limit_and_ps_says_what_they_hold(start: Start) -> None:
    """Two models and the spare process under 400 MB, at work and at rest; `ps`, its shares and the metrics agree."""
    daemon, limit = start(spare=True, models_memory_limit="400MB"), 400_000_000
    names = ("scripted", "llama")
    for _ in range(2):
        together([partial(daemon.complete, name, "hello " * 40, max_tokens=30) for name in names for _ in range(6)])
        rows = daemon.control("GET", "/ps")["models"]
        assert len(rows) == 2 and sum(row["share"] for row in rows) <= limit
        assert sum(private(child.pid) for child in daemon.children()) <= limit
    wait_until(lambda: len(daemon.children()) == 3, "the spare process is there")

    def shown_rightly(row: dict[str, Any]) -> bool:
        """What is shown may be a second old."""
        label, real = f'{{model="local/{row["name"]}"}}', pytest.approx(private(row["pid"]), rel=0.05)
        return bool(row["memory"] == real and daemon.gauge(f"model_memory_bytes{label}") == real)

    wait_until(lambda: all(map(shown_rightly, daemon.control("GET", "/ps")["models"])), "ps and metrics to be right")
    rows = daemon.control("GET", "/ps")["models"]
    shown = {model["name"]: model["size"] for model in daemon.get("/api/ps").json["models"]}
    assert {name.removesuffix(":latest"): size for name, size in shown.items()} == pytest.approx(
        {row["name"]: row["memory"] for row in rows}, rel=0.2
    )
