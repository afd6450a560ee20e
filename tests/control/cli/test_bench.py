"""`mlx-serve bench`: the arithmetic, what it asks for over TCP, and how runs are kept and compared."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fakes.control_daemon import FakeDaemon, Run

from mlx_serve.control.cli.bench import last_run
from mlx_serve.control.cli.bench.level import summed
from mlx_serve.control.cli.bench.stream_timing import BenchFailed, Endpoint, Timing, stream
from mlx_serve.daemon.settings.effective_settings import load_settings

KEY = "a-key-of-the-tests-own"


class Public(ThreadingHTTPServer):
    """The two endpoints that are asked: a token a word and 7 of the template; answers of as many pieces as are wanted.
    `answer` replaces the events of a stream, `status` the status."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.prompts: set[str] = set()
        self.answer: bytes | None = None
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Public

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = body["messages"][0]["content"]
        count = len(text.split()) + 7
        self.server.keys.add(self.headers["authorization"])
        self.send_response(self.server.status)
        self.end_headers()
        if self.path == "/v1/tokenize":
            self._say({"data": [{"token_count": count}]})
            return
        self.server.bodies.append(body)
        if self.server.answer is not None:
            self.wfile.write(self.server.answer)
            return
        for _ in range(body["max_tokens"]):
            self._event({"choices": [{"delta": {"content": "x"}}]})
        cached = count - 1 if text in self.server.prompts else 0
        self.server.prompts.add(text)
        usage = {"prompt_tokens": count, "completion_tokens": body["max_tokens"]}
        self._event({"choices": [], "usage": usage | {"prompt_tokens_details": {"cached_tokens": cached}}})
        self.wfile.write(b"data: [DONE]\n\n")

    def _say(self, document: Any) -> None:
        self.wfile.write(json.dumps(document).encode())

    def _event(self, document: Any) -> None:
        self.wfile.write(b"data: " + json.dumps(document).encode() + b"\n\n")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def public() -> Iterator[Public]:
    with Public() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def starter(daemon: FakeDaemon, public: Public) -> FakeDaemon:
    """A daemon on whose address `public` answers."""
    daemon.store.add("mlx-serve/starter", digest="b" * 64)
    daemon.store.add("local/vectors", digest="c" * 64, kind="embedding")
    settings = load_settings({}, {"MLX_SERVE_HOME": str(daemon.home), "MLX_SERVE_SERVER_API_KEYS": KEY})
    server = replace(settings.server, host="127.0.0.1", port=public.server_port)
    daemon.context.settings = replace(settings, server=server)
    return daemon


def timing(started: float, first: float, last: float, **more: int) -> Timing:
    return Timing(started, first, last, **{"prompt": 100, "cached": 0, "tokens": 11, **more})


def test_one_stream_is_summed() -> None:
    """A hundred tokens read in two seconds, then ten more in five; the first token came with the prompt."""
    level = summed([timing(1.0, 3.0, 8.0)])
    assert (level.streams, level.prompt_tokens, level.tokens) == (1, 100, 11)
    assert (level.first_ms, level.first_most_ms, level.prefill) == (2000, 2000, 50)
    assert (level.decode, level.each) == (2, 2)


def test_several_streams_are_summed() -> None:
    """Prompts are read until the last one's first token; all answers share the time from the first token to the last.
    What was cached was not read."""
    level = summed([timing(0.0, 1.0, 6.0), timing(0.0, 4.0, 9.0, cached=60)])
    assert (level.first_ms, level.first_most_ms, level.prefill) == (2500, 4000, 35)
    assert (level.decode, level.each) == (2.5, 2)


def test_an_answer_of_one_token_has_no_speed() -> None:
    level = summed([timing(0.0, 1.0, 1.0, tokens=1)])
    assert (level.decode, level.each) == (0, 0)


def test_moments_are_those_of_the_pieces(public: Public) -> None:
    """Of the request, the first piece and the end; each piece is told."""
    ticks = iter([1.0, 2.0, 3.0, 4.0, 9.0])
    pieces: list[None] = []
    found = stream(Endpoint(public.url, KEY), "m", "one two", 3, lambda: pieces.append(None), lambda: next(ticks))
    assert (found.started, found.first, found.last, found.prompt, found.tokens) == (1, 2, 9, 9, 3)
    assert len(pieces) == 3 and public.keys == {f"Bearer {KEY}"}
    assert public.bodies[0]["ignore_eos"] is True and public.bodies[0]["max_tokens"] == 3


@pytest.mark.parametrize(
    ("status", "answer", "says"),
    [
        (200, b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n', "ended before it was whole"),
        (200, b'data: {"error": {"message": "the model died"}}\n\n', "the model died"),
        (200, b"data: no JSON\n\n", "the connection to"),
        (503, b'{"error": {"message": "the queue is full"}}', "the queue is full"),
        (500, b"oh", "answered with status 500"),
    ],
)
def test_an_answer_that_is_none_is_no_fast_one(public: Public, status: int, answer: bytes, says: str) -> None:
    public.status, public.answer = status, answer
    with pytest.raises(BenchFailed, match=says):
        stream(Endpoint(public.url, None), "m", "one", 3)


def test_a_daemon_that_is_gone_is_a_sentence() -> None:
    with pytest.raises(BenchFailed, match=r"the connection to http://127\.0\.0\.1:1 failed"):
        stream(Endpoint("http://127.0.0.1:1", None), "m", "one", 3)


def test_a_run_is_kept_and_the_next_one_compared(starter: FakeDaemon, public: Public, run: Run) -> None:
    """Prompts have the wanted tokens and are all different, but for the one that is asked again."""
    done = run("bench", "starter", "-c", "2,1", "--prompt", "40", "--tokens", "3")
    assert done.returncode == 0, done
    assert "STREAMS" in done.stdout and "beside the last run" not in done.stdout
    assert done.stderr.splitlines()[-3:] == ["a new prompt", "the same prompt again", "2 streams"]
    prompts = [body["messages"][0]["content"] for body in public.bodies]
    assert [len(prompt.split()) + 7 for prompt in prompts] == [40] * 5
    assert len(set(prompts)) == 4 and prompts[1] == prompts[2]
    assert public.keys == {f"Bearer {KEY}"}
    again = run("bench", "starter", "-c", "1", "--prompt", "40", "--tokens", "3")
    assert "in brackets: beside the last run" in again.stdout and KEY not in again.stdout
    third = json.loads(run("bench", "starter", "-c", "1", "--prompt", "40", "--tokens", "3", "--json").stdout)
    assert [row["streams"] for row in third["levels"]] == [1]
    assert [row["streams"] for row in third["last"]["levels"]] == [1, 2], "what a run leaves out is kept"
    other = json.loads(run("bench", "starter", "-c", "1", "--prompt", "41", "--tokens", "3", "--json").stdout)
    assert other["last"] is None, "other lengths do not compare"


def test_what_cannot_be_measured_is_said(starter: FakeDaemon, run: Run) -> None:
    assert "it is a model of the kind embedding" in run("bench", "vectors").stderr
    done = run("bench", "starter", "--prompt", "99999")
    assert done.returncode == 1 and "do not fit into the model's context of" in done.stderr
    assert run("bench", "starter", "-c", "0").returncode == run("bench", "starter", "-c", "1,x").returncode == 2


def test_a_file_that_is_damaged_is_as_good_as_none(tmp_path: Path) -> None:
    file = last_run.path(tmp_path, "sha256:" + "a" * 64, 1, 2)
    assert last_run.read(file) is None
    last_run.write(file, {"levels": [{"streams": 1}]}, None)
    assert last_run.read(file) == {"form": 1, "levels": [{"streams": 1}]} and file.stat().st_mode & 0o777 == 0o600
    for text in ("{", "[]", '{"form": 0}'):
        file.write_text(text)
        assert last_run.read(file) is None


@pytest.mark.parametrize(
    ("now", "before", "text"), [(110, 100, "+10 %"), (90, 100, "-10 %"), (1, 1, "same"), (1, 0, "")]
)
def test_a_change_in_percent(now: float, before: float, text: str) -> None:
    assert last_run.change(now, before) == text
