"""Pictures through the real daemon: starter-vl says what it sees, to the official clients, however a picture comes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anthropic
import ollama
import openai
import pytest
from support.hostile_pictures import REFUSED
from support.live_daemon import LiveDaemon, together
from support.sent_pictures import data_url, drawn, encoded, part, text
from support.waiting import wait_until

from mlx_serve.store.store import Store

MODEL = "starter-vl"
RED, BLUE, GREEN = "#d81e1e", "#1e5ad8", "#1e9a3a"
PICTURES = {
    "/red-circle.png": drawn(RED, "circle"),
    "/blue-square.png": drawn(BLUE, "square"),
    "/green-triangle.png": drawn(GREEN, "triangle"),
}
CIRCLE, SQUARE, TRIANGLE = PICTURES.values()
SHAPE, COLOUR = "What shape is this?", "What colour is the shape?"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("seeing") / "models"
    store = Store.open(directory)
    for name in ("starter", MODEL):
        store.pull(name)
    return directory


@pytest.fixture(scope="module")
def daemon(store: Path) -> Iterator[LiveDaemon]:
    """It may fetch from this machine."""
    with LiveDaemon(store, models_fetch_private_images=True) as running:
        yield running.ready()
        assert running.log("fail audit") == []


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    """The address of a server with the pictures, which also redirects."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = PICTURES.get(self.path, b"")
            away = {"/moved": "/blue-square.png", "/metadata": "http://169.254.169.254/latest/meta-data"}
            self.send_response(302 if self.path in away else 200 if data else 404)
            self.send_header("Location", away.get(self.path, "/"))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def ask(gpt: openai.OpenAI, *content: dict[str, Any], before: Any = (), stream: bool = False) -> str:
    messages: Any = [*before, {"role": "user", "content": list(content)}]
    if not stream:
        answer = gpt.chat.completions.create(model=MODEL, messages=messages, temperature=0, max_tokens=60)
        return answer.choices[0].message.content or ""
    chunks = gpt.chat.completions.create(model=MODEL, messages=messages, temperature=0, max_tokens=60, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "shape", "colour"),
    [
        ("/red-circle.png", "circle", "red"),
        ("/blue-square.png", "square", "blue"),
        ("/green-triangle.png", "triangle", "green"),
    ],
)
def test_openai_clients_are_told_what_is_seen(
    gpt: openai.OpenAI, web: str, path: str, shape: str, colour: str, stream: bool
) -> None:
    """The same from a data URL and from the web, whole and streamed."""
    for url in (data_url(PICTURES[path]), f"{web}{path}"):
        assert ask(gpt, part(url), text(SHAPE), stream=stream) == f"It is a {shape}."
        assert ask(gpt, part(url), text(COLOUR), stream=stream) == f"It is {colour}."


@pytest.mark.parametrize("stream", [False, True])
def test_two_pictures_are_told_apart(gpt: openai.OpenAI, web: str, stream: bool) -> None:
    """One sent along and one fetched, in either order."""
    sent, fetched = part(data_url(CIRCLE)), part(f"{web}/blue-square.png")
    assert ask(gpt, sent, fetched, text("Describe the second picture."), stream=stream) == "A blue square."
    assert ask(gpt, sent, fetched, text("Describe the first picture."), stream=stream) == "A red circle."
    assert ask(gpt, fetched, sent, text("Describe the second picture."), stream=stream) == "A red circle."


@pytest.mark.parametrize("stream", [False, True])
def test_a_picture_of_an_earlier_turn_is_still_seen(gpt: openai.OpenAI, stream: bool) -> None:
    before = [
        {"role": "user", "content": [part(data_url(TRIANGLE)), text(SHAPE)]},
        {"role": "assistant", "content": "It is a triangle."},
    ]
    assert ask(gpt, text("What colour is it?"), before=before, stream=stream) == "It is green."


def test_ollama_clients_are_told_what_is_seen(llama: ollama.Client, tmp_path: Path) -> None:
    """From bytes, base64 and a file, as the package takes them; in chat and generate, whole and streamed."""
    (tmp_path / "circle.png").write_bytes(CIRCLE)
    for picture in (CIRCLE, encoded(CIRCLE), str(tmp_path / "circle.png")):
        message = {"role": "user", "content": SHAPE, "images": [picture]}
        assert llama.chat(MODEL, [message]).message.content == "It is a circle."
        streamed = llama.chat(MODEL, [message], stream=True)
        assert "".join(each.message.content or "" for each in streamed) == "It is a circle."
    assert llama.generate(MODEL, COLOUR, images=[SQUARE]).response == "It is blue."
    streamed_text = llama.generate(MODEL, COLOUR, images=[SQUARE], stream=True)
    assert "".join(each.response for each in streamed_text) == "It is blue."


def test_ollama_clients_may_show_two_and_earlier_pictures(llama: ollama.Client) -> None:
    both = {"role": "user", "content": "Describe the second picture.", "images": [CIRCLE, SQUARE]}
    assert llama.chat(MODEL, [both]).message.content == "A blue square."
    messages = [
        {"role": "user", "content": SHAPE, "images": [TRIANGLE]},
        {"role": "assistant", "content": "It is a triangle."},
        {"role": "user", "content": "What colour is it?"},
    ]
    assert llama.chat(MODEL, messages).message.content == "It is green."


def test_anthropic_clients_are_told_what_is_seen(claude: anthropic.Anthropic, web: str) -> None:
    """Pictures in base64 and by URL, among text; their tokens are counted as they are read."""
    sources: list[Any] = [
        {"type": "base64", "media_type": "image/png", "data": encoded(CIRCLE)},
        {"type": "url", "url": f"{web}/red-circle.png"},
    ]
    for source in sources:
        asked: Any = [{"role": "user", "content": [{"type": "image", "source": source}, text(SHAPE)]}]
        answer = claude.messages.create(model=MODEL, max_tokens=60, messages=asked, extra_body={"temperature": 0})
        assert "circle" in answer.content[0].text  # type: ignore[union-attr]
        counted = claude.messages.count_tokens(model=MODEL, messages=asked).input_tokens
        assert counted == answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0)
    with pytest.raises(anthropic.BadRequestError, match=r"source\.data' cannot be read"):
        bad: Any = [{"type": "image", "source": sources[0] | {"data": encoded(b"%PDF-1.7")}}]
        claude.messages.create(model=MODEL, max_tokens=60, messages=[{"role": "user", "content": bad}])


def test_a_later_turn_reads_only_what_is_new_in_every_dialect(daemon: LiveDaemon) -> None:
    """The picture, the question and the answer are known; the same question is known but for its last token, whoever
    asks it."""
    picture, words = drawn("#e0a020", "square"), "What colour is it?"
    shown: list[Any] = [{"role": "user", "content": [part(data_url(picture)), text(SHAPE)]}]
    settings = {"model": MODEL, "temperature": 0, "max_tokens": 60}
    first = daemon.post("/v1/chat/completions", messages=shown, **settings).json
    known = first["usage"]["prompt_tokens"] + first["usage"]["completion_tokens"]
    said = first["choices"][0]["message"]["content"]
    turns = [{"role": "assistant", "content": said}, {"role": "user", "content": words}]
    second = daemon.post("/v1/chat/completions", messages=[*shown, *turns], **settings).json
    usage = second["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert said == "It is a square." and known - 1 <= cached < usage["prompt_tokens"] < known + 25
    chat = [{"role": "user", "content": SHAPE, "images": [encoded(picture)]}, *turns]
    ollama = daemon.post("/api/chat", model=MODEL, messages=chat, stream=False, options={"temperature": 0}).json
    assert (ollama["prompt_eval_count"], ollama["prompt_eval_cached_count"]) == (
        usage["prompt_tokens"],
        usage["prompt_tokens"] - 1,
    )
    source = {"type": "base64", "media_type": "image/png", "data": encoded(picture)}
    blocks: list[Any] = [{"role": "user", "content": [{"type": "image", "source": source}, text(SHAPE)]}, *turns]
    anthropic = daemon.post("/v1/messages", messages=blocks, **settings).json
    assert (anthropic["usage"]["cache_read_input_tokens"], anthropic["usage"]["input_tokens"]) == (
        usage["prompt_tokens"] - 1,
        1,
    )
    items: list[Any] = [
        {
            "role": "user",
            "content": [
                {"type": "input_image", "image_url": data_url(picture)},
                {"type": "input_text", "text": SHAPE},
            ],
        },
        *turns,
    ]
    response = daemon.post("/v1/responses", model=MODEL, input=items, temperature=0, max_output_tokens=60).json
    assert response["usage"]["input_tokens_details"]["cached_tokens"] == usage["prompt_tokens"] - 1
    answers = [second["choices"][0]["message"]["content"], ollama["message"]["content"]]
    answers += [anthropic["content"][0]["text"], response["output"][-1]["content"][0]["text"]]
    assert answers == [answers[0]] * 4


def test_the_log_says_that_there_is_another_picture(daemon: LiveDaemon, gpt: openai.OpenAI) -> None:
    """And where: behind what both prompts begin with."""
    before, after = text("some words " * 40), text("and more of them " * 80 + SHAPE)
    for picture in (CIRCLE, SQUARE):
        ask(gpt, before, part(data_url(picture)), after)

    def lines() -> list[str]:
        return [line for line in daemon.log("read prompt again") if "reason=another picture at token" in line]

    wait_until(lines, "the log has the line")
    assert len(lines()) == 1


def test_many_at_once_are_each_told_their_own(gpt: openai.OpenAI, web: str) -> None:
    """Pictures, fetched ones and text in one batch."""

    def seen(path: str) -> str:
        return ask(gpt, part(f"{web}{path}" if "circle" in path else data_url(PICTURES[path])), text(SHAPE))

    paths = list(PICTURES) * 3
    answers = together([lambda path=path: seen(path) for path in paths])  # type: ignore[misc]
    assert answers == [f"It is a {path.rpartition('-')[2].removesuffix('.png')}." for path in paths]


def test_the_command_shows_pictures(daemon: LiveDaemon, tmp_path: Path) -> None:
    (tmp_path / "a square.png").write_bytes(SQUARE)
    done = daemon.command("run", MODEL, COLOUR, "--image", str(tmp_path / "a square.png"))
    assert (done.returncode, done.stdout) == (0, "It is blue.\n")
    blind = daemon.command("run", "starter", COLOUR, "--image", str(tmp_path / "a square.png"))
    assert blind.returncode == 1 and "starter cannot see pictures" in blind.stderr


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_picture_is_a_400_in_both_dialects(gpt: openai.OpenAI, llama: ollama.Client, name: str) -> None:
    """It names the field, and a good one beside it is seen."""
    data = REFUSED[name][0]
    with pytest.raises(openai.BadRequestError) as refused:
        ask(gpt, part(data_url(CIRCLE)), part(data_url(data)), text(SHAPE))
    assert refused.value.param == "messages[0].content[1].image_url.url"
    assert refused.value.type == "invalid_request_error"
    if data:
        with pytest.raises(ollama.ResponseError) as again:
            llama.chat(MODEL, [{"role": "user", "content": SHAPE, "images": [encoded(data)]}])
        assert again.value.status_code == 400 and "messages[0].images[0]" in again.value.error
    assert ask(gpt, part(data_url(CIRCLE)), text(SHAPE)) == "It is a circle."


def test_urls_that_lead_nowhere_good_are_a_400(gpt: openai.OpenAI, web: str) -> None:
    """Redirects are followed, but not to the metadata service, though this daemon may fetch from its own machine."""
    assert ask(gpt, part(f"{web}/moved"), text(COLOUR)) == "It is blue."
    for path, said in (("/metadata", "more private network"), ("/none.png", "its server answers 404")):
        with pytest.raises(openai.BadRequestError, match=said) as refused:
            ask(gpt, part(f"{web}{path}"), text(SHAPE))
        assert refused.value.param == "messages[0].content[0].image_url.url"


def test_private_addresses_are_refused_unless_allowed(store: Path, web: str) -> None:
    with LiveDaemon(store) as strict:
        strict.ready()
        message = {"role": "user", "content": [part(f"{web}/red-circle.png"), text(SHAPE)]}
        answer = strict.post("/v1/chat/completions", model=MODEL, messages=[message])
        assert answer.status == 400 and "models.fetch_private_images" in json.dumps(answer.json)
        assert strict.get("/api/ps").json["models"] == []


def test_a_text_model_is_not_loaded_for_a_picture(daemon: LiveDaemon, gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="does not support vision: it is a language model"):
        gpt.chat.completions.create(
            model="starter",
            messages=[{"role": "user", "content": [part(data_url(CIRCLE)), text(SHAPE)]}],  # type: ignore[list-item]
        )
    assert not any("starter:latest" in str(model) for model in daemon.get("/api/ps").json["models"])


def test_fifty_megabytes_are_a_400_and_the_model_goes_on(daemon: LiveDaemon, gpt: openai.OpenAI) -> None:
    """Text is answered beside it."""
    large = part("data:image/png;base64," + "A" * 50_000_000)

    def too_much() -> str:
        with pytest.raises(openai.BadRequestError, match="larger than 20 MiB"):
            ask(gpt, large, text(SHAPE))
        return ""

    *_, seen = together([too_much, lambda: ask(gpt, part(data_url(CIRCLE)), text(SHAPE))])
    assert seen == "It is a circle."
