"""A model's process dies in mid-stream, and nobody but its requests notices."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from e2e.conftest import Start
from e2e.scripted_model import HELLO
from support.extent import extent
from support.live_daemon import LiveDaemon, wait_until
from support.live_http import Answer, Streamed
from support.process_use import dead

MODEL = "local/scripted"
ROUNDS = extent(3, 20)
KILLERS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT)
SAY_P = [{"role": "user", "content": "say P"}]


class Health:
    """Asks /healthz all the time, from a thread of its own."""

    def __init__(self, daemon: LiveDaemon) -> None:
        self._daemon = daemon
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.answers: list[Answer] = []

    def __enter__(self) -> Health:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._done.wait(0.05):
            self.answers.append(self._daemon.get("/healthz"))


@pytest.fixture(scope="module")
def mortal(models: Path) -> Iterator[LiveDaemon]:
    """A daemon whose children are killed. At its end nothing of any of them is left."""
    with LiveDaemon(models, spare=True) as daemon:
        yield daemon.ready()
        children = daemon.family()
        assert daemon.stop() == 0
        assert all(dead(child.pid) for child in children) and folders(daemon) == []
        assert daemon.log("fail audit") == []


def settled(daemon: LiveDaemon) -> bool:
    """One process for the model, one warm spare, a private folder each, and nobody at work."""
    return len(daemon.children()) == 2 and len(folders(daemon)) == 2 and daemon.at_rest()


def folders(daemon: LiveDaemon) -> list[str]:
    return [path.name for path in daemon.temporary.iterdir()]


def open_streams(daemon: LiveDaemon) -> tuple[list[Streamed], Streamed]:
    """Three endless streams in OpenAI's dialect and one in Ollama's, all of them in the middle."""
    ours = [daemon.chat_stream("scripted", "say P"), daemon.chat_stream("scripted", "say Q", n=2)]
    ours.append(daemon.stream("/v1/completions", model="scripted", prompt="say R", max_tokens=200_000))
    theirs = daemon.ollama_stream("scripted", "say T")
    for stream in (*ours, theirs):
        assert stream.wait_for_text()
    return ours, theirs


def check_whole_answers(openai: Answer, ollama: Answer) -> None:
    assert openai.status == ollama.status == 500
    assert openai.error["code"] == "model_process_ended" and openai.error["type"] == "server_error"
    assert "ended unexpectedly" in ollama.error


@pytest.mark.timeout(300)
def test_a_killed_runner_costs_its_requests_and_nothing_else(mortal: LiveDaemon) -> None:
    """Again and again under four streams and two whole answers, by every signal that kills.

    Every stream ends with an error in its dialect, the daemon answers throughout, the next
    request works, nothing leaks.
    """
    daemon, descriptors = mortal, 0
    pids = set()
    with Health(daemon) as health, ThreadPoolExecutor(2) as pool:
        for turn in range(ROUNDS):
            daemon.control("POST", "/load", {"name": MODEL})  # it has died more often than requests may make it
            assert daemon.chat("scripted", "say H").text == HELLO.text
            pid = daemon.runner(MODEL)
            pids.add(pid)
            if turn == 1:
                wait_until(lambda: settled(daemon), "the spare is there")
                descriptors = daemon.descriptors()
            whole = [
                pool.submit(daemon.post, path, model="scripted", messages=SAY_P, stream=False)
                for path in ("/v1/chat/completions", "/api/chat")
            ]
            ours, theirs = open_streams(daemon)
            wait_until(lambda: daemon.gauge("queue_running") == 6, "six requests run")
            number = KILLERS[turn % len(KILLERS)]
            os.kill(pid, number)
            for stream in ours:
                error = stream.rest().last["error"]
                assert error["code"] == "model_process_ended" and number.name in error["message"]
                assert stream.whole
            assert "ended unexpectedly" in theirs.rest().last["error"] and theirs.whole
            check_whole_answers(*(future.result() for future in whole))
        daemon.control("POST", "/load", {"name": MODEL})
        assert daemon.chat("scripted", "say H").text == HELLO.text
        wait_until(lambda: settled(daemon), "nothing is left of the dead")
        wait_until(lambda: daemon.descriptors() <= descriptors, "no descriptor is left open")
    assert len(pids) == ROUNDS
    assert {answer.status for answer in health.answers} == {200}
    assert len(health.answers) > ROUNDS, "the daemon never stood still"
    assert len(daemon.logged("end child", ROUNDS)) == ROUNDS


def spare(daemon: LiveDaemon) -> psutil.Process:
    """The child that has no model."""
    model = daemon.runner(MODEL)
    return wait_until(lambda: [child for child in daemon.children() if child.pid != model], "a spare is there")[0]


def test_a_dead_spare_is_not_missed(mortal: LiveDaemon) -> None:
    """Killed when its imports are done, and in the middle of them; the request that needs it gets another."""
    for _ in range(2):
        assert mortal.chat("scripted", "say H").text == HELLO.text
        victim = spare(mortal)
        victim.kill()
        wait_until(lambda pid=victim.pid: dead(pid), "it is dead")  # type: ignore[misc]
        assert mortal.post("/api/generate", model="scripted", keep_alive=0).status == 200
        assert mortal.chat("scripted", "say H").text == HELLO.text


def test_children_that_die_before_the_model_is_in_are_an_error_with_the_cause(mortal: LiveDaemon) -> None:
    """For everybody who waits; and a later request loads it."""
    daemon = mortal
    daemon.control("POST", "/load", {"name": MODEL})
    assert daemon.post("/api/generate", model="scripted", keep_alive=0).status == 200
    with ThreadPoolExecutor(2) as pool:
        whole = pool.submit(daemon.chat, "scripted", "say H")
        streamed = pool.submit(daemon.post, "/api/chat", model="scripted", messages=SAY_P)
        wait_until(lambda: daemon.gauge("queue_running") == 2, "both wait for the load")
        while not whole.done():
            for child in daemon.children():
                child.kill()
            time.sleep(0.02)
        first, second = whole.result(), streamed.result()
    assert first.status == second.status == 500
    assert first.error["code"] == "model_load_failed" and "SIGKILL" in first.error["message"], first.error
    assert "SIGKILL" in second.error
    daemon.control("POST", "/load", {"name": MODEL})
    assert daemon.chat("scripted", "say H").text == HELLO.text


def test_a_model_that_keeps_dying_is_put_into_quarantine(start: Start) -> None:
    """The third death in ten minutes: 503 with the reason and a time, `readyz`, `ps` and the metrics say so, other
    models are served, and loading it explicitly tries it at once."""
    daemon = start()
    for _ in range(3):
        wait_until(lambda: daemon.chat("scripted", "say H").status == 200, "it is served")
        pid = daemon.runner(MODEL)
        with daemon.chat_stream("scripted", "say P") as stream:
            assert stream.wait_for_text()
            os.kill(pid, signal.SIGSEGV)
            assert "SIGSEGV" in stream.rest().last["error"]["message"]
        wait_until(lambda: MODEL not in daemon.runners(), "its death is known")
    refused = daemon.chat("scripted", "say H")
    assert refused.status == 503 and refused.error["code"] == "model_quarantined"
    assert "3 times lately" in refused.error["message"] and "SIGSEGV" in refused.error["message"]
    assert 590 <= int(refused.headers["retry-after"]) <= 600
    ready = daemon.get("/readyz")
    assert ready.status == 200 and ready.json["status"] == "degraded"
    assert [one["model"] for one in ready.json["quarantined"]] == [MODEL]
    assert "IN QUARANTINE" in daemon.command("ps").stdout
    assert daemon.gauge(f'model_deaths_total{{model="{MODEL}"}}') == 3 and daemon.gauge("models_quarantined") == 1
    assert daemon.complete("llama", "hello", max_tokens=2).status == 200
    assert daemon.command("load", "scripted").returncode == 0
    assert daemon.chat("scripted", "say H").text == HELLO.text
    assert daemon.get("/readyz").json == {"status": "ready"}


def test_children_do_not_outlive_a_killed_daemon(start: Start) -> None:
    """And the next daemon of the home starts at once, whatever was left behind."""
    daemon = start()
    assert daemon.chat("scripted", "say H").text == HELLO.text
    with daemon.chat_stream("scripted", "say P") as stream:
        assert stream.wait_for_text()
        children = daemon.family()
        daemon.process.kill()
        daemon.ended()
        assert stream.rest().whole is False
    wait_until(lambda: all(dead(child.pid) for child in children), "they are gone")
    assert daemon.socket_path.exists(), "what a killed daemon leaves"
    again = start(store=None, home=daemon.home, port=daemon.port)
    assert again.get("/readyz").status == 200


def test_what_a_killed_daemon_left_in_the_temporary_folder_is_swept_by_the_next(start: Start, tmp_path: Path) -> None:
    """The folders of its children, once they are dead; a living daemon's stay. No key or token was in any child."""
    secret = "a-secret-of-more-than-16"
    names = ("MLX_SERVE_SERVER_API_KEYS", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY")
    environ = {"TMPDIR": str(tmp_path)} | dict.fromkeys(names, secret)
    killed, living = start(store=None, spare=True, environ=environ), start(store=None, spare=True, environ=environ)
    wait_until(lambda: len(spares(killed)) == len(spares(living)) == 1, "each has a warm spare")
    (child,), (other,) = spares(killed), spares(living)
    for process in (child, other):
        assert secret not in process.environ().values()
    kept = Path(other.environ()["TMPDIR"])
    assert len(list(tmp_path.glob("mlx-serve-*"))) == 2
    killed.signal(signal.SIGKILL)
    killed.ended()
    wait_until(lambda: dead(child.pid), "the child died with its daemon")
    assert len(list(tmp_path.glob("mlx-serve-*"))) == 2, "what this test is about"
    following = start(store=None, home=killed.home, environ=environ)
    wait_until(lambda: following.log("sweep temporary folders count=1") != [], "it swept")
    assert list(tmp_path.glob("mlx-serve-*")) == [kept]


def spares(daemon: LiveDaemon) -> list[psutil.Process]:
    """Its children that are programs of their own by now; until then they show the daemon's environment."""
    return [child for child in daemon.children() if "mlx_serve.daemon.engine.main" in child.cmdline()]
