"""/v1/tokenize and /v1/detokenize through the real daemon: for every kind, exact, and without a model in memory."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e.scripted_model import write_scripted
from support.extent import LONG, only_long
from support.live_daemon import LiveDaemon, together, wait_until
from support.process_use import dead, used
from support.sent_pictures import data_url, drawn, part, png, text
from transformers import AutoTokenizer

from mlx_serve.store.store import Store

STARTERS = ("starter", "starter-embed", "starter-rerank", "starter-vl")
BUILTINS = Path(__file__).parents[2] / "store" / "builtins"
TEXTS = (
    "",
    " ",
    "Hello there, how are you?",
    "naïve façade — 東京 🙂👩‍👩‍👧 \u0000\n\t\r\n  two  spaces",
    "<|im_start|>user\nhi<|im_end|> <think>x</think> <tool_call>",
    "don't 'quote' 12345 3.14 x==y // a_b-c",
    "word " * 300,
)
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is 2 + 3? <|im_end|>"},
    {"role": "assistant", "content": "5"},
    {"role": "user", "content": [{"type": "text", "text": "And in Rome?"}]},
]
MEGABYTES_16 = "a few words, " * ((16 << 20) // 13)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    """With every kind of built-in model, two that say what they are told, and room for one language model."""
    directory = tmp_path_factory.mktemp("tokens") / "models"
    store = Store.open(directory)
    for name in STARTERS:
        store.pull(name)
    for name in ("scripted", "endless"):
        folder = write_scripted(tmp_path_factory.mktemp(name) / name)
        if name == "endless":
            path = folder / "tokenizer_config.json"
            template = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
        store.pull(str(folder))
    with LiveDaemon(directory, cache_max_llm_models=1) as running:
        yield running.ready()
        assert running.log("fail audit") == []


def _tokenize(daemon: LiveDaemon, model: str, texts: Any, **more: Any) -> dict[str, Any]:
    answer = daemon.post("/v1/tokenize", model=model, input=texts, **more)
    assert answer.status == 200, answer.body
    return answer.json  # type: ignore[no-any-return]


def _count(daemon: LiveDaemon, model: str, **body: Any) -> int:
    answer = daemon.post("/v1/tokenize", model=model, **body)
    assert answer.status == 200, answer.body
    return answer.json["usage"]["total_tokens"]  # type: ignore[no-any-return]


def _processes(daemon: LiveDaemon) -> list[psutil.Process]:
    """Those that have a tokenizer and nothing else."""
    found = []
    for child in daemon.children():
        try:
            if any("engine.tokenize.main" in word for word in child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def _put_out(daemon: LiveDaemon, name: str) -> None:
    """Have it not in memory; its tokenizer's process stays where it was not in it."""
    if f"mlx-serve/{name}" in daemon.runners():
        assert daemon.command("unload", name).returncode == 0


# exact; the tests of one model follow each other, because only three tokenizers' processes are kept


@pytest.mark.parametrize("special", [True, False] if LONG else [True])
@pytest.mark.parametrize("name", STARTERS, scope="module")
def test_tokens_are_those_of_transformers(daemon: LiveDaemon, name: str, special: bool) -> None:
    tokenizer = AutoTokenizer.from_pretrained(BUILTINS / name)
    answer = _tokenize(daemon, name, list(TEXTS), return_tokens=True, add_special_tokens=special)
    expected = [tokenizer(text, add_special_tokens=special)["input_ids"] for text in TEXTS]
    assert answer["model"] == name and answer["object"] == "list"
    assert answer["data"] == [
        {"index": place, "object": "token_count", "token_count": len(ids), "tokens": ids}
        for place, ids in enumerate(expected)
    ]
    assert answer["usage"] == {"total_tokens": sum(map(len, expected))}


@pytest.mark.parametrize("skip", [True, False] if LONG else [False])
@pytest.mark.parametrize("name", STARTERS, scope="module")
def test_texts_are_those_of_transformers(daemon: LiveDaemon, name: str, skip: bool) -> None:
    """What was tokenized comes back, and a part of a character is U+FFFD."""
    tokenizer = AutoTokenizer.from_pretrained(BUILTINS / name)
    lists = [tokenizer(text)["input_ids"] for text in TEXTS] + [tokenizer("東京")["input_ids"][:1]]
    answer = daemon.post("/v1/detokenize", model=name, tokens=lists, skip_special_tokens=skip).json
    texts = [tokenizer.decode(ids, skip_special_tokens=skip) for ids in lists]
    assert answer == {
        "model": name,
        "object": "list",
        "data": [{"index": place, "object": "text", "text": text} for place, text in enumerate(texts)],
        "usage": {"total_tokens": sum(map(len, lists))},
    }
    plain = _tokenize(daemon, name, TEXTS[3], return_tokens=True, add_special_tokens=False)["data"][0]["tokens"]
    assert daemon.post("/v1/detokenize", model=name, tokens=plain).json["data"][0]["text"] == TEXTS[3]


CHATS: tuple[dict[str, Any], ...] = (
    {"messages": CHAT},
    {"messages": CHAT, "tools": [TOOL]},
    {"messages": CHAT, "tools": [TOOL], "tool_choice": "none"},
    {"messages": CHAT, "chat_template_kwargs": {"enable_thinking": False}},
    {"messages": CHAT, "reasoning_effort": "none"},
    {"messages": [*CHAT, {"role": "assistant", "content": "It is"}], "continue_final_message": True},
)


def test_a_chat_counts_what_the_chat_endpoint_counts(daemon: LiveDaemon) -> None:
    """Before the model is in memory and while it is, with tools, and with a system prompt of the model's own."""
    created = daemon.post(
        "/api/create", model="brief", **{"from": "starter"}, system="Answer in one word.", stream=False
    )
    assert created.status == 200
    _put_out(daemon, "starter")
    cases = [("starter", chat) for chat in CHATS]
    cases += [("brief", chat | {"messages": chat["messages"][1:]}) for chat in CHATS]
    before = [_count(daemon, name, **body) for name, body in cases]
    assert "mlx-serve/starter" not in daemon.runners()
    counts = [
        daemon.post("/v1/chat/completions", model=name, max_tokens=1, **body).json["usage"]["prompt_tokens"]
        for name, body in cases
    ]
    assert before == counts and len(set(counts)) > len(CHATS)
    assert [_count(daemon, name, **body) for name, body in cases] == counts
    assert daemon.gauge("tokenizer_processes") == len(_processes(daemon))


def test_pictures_count_what_the_chat_endpoint_counts(daemon: LiveDaemon) -> None:
    """Of several sizes, before the model is in memory and while it is."""
    pictures = [part(data_url(drawn("red", "circle"))), part(data_url(png("blue", 300)))]
    chat = [{"role": "user", "content": [pictures[0], text("and"), pictures[1], text("what are these?")]}]
    _put_out(daemon, "starter-vl")
    before = _count(daemon, "starter-vl", messages=chat)
    assert "mlx-serve/starter-vl" not in daemon.runners()
    answer = daemon.post("/v1/chat/completions", model="starter-vl", messages=chat, max_tokens=1)
    assert before == answer.json["usage"]["prompt_tokens"] == _count(daemon, "starter-vl", messages=chat)
    assert before > 50


def test_a_chat_without_the_opening_of_its_answer(daemon: LiveDaemon) -> None:
    tokenizer = AutoTokenizer.from_pretrained(BUILTINS / "starter")
    chat = [{"role": "user", "content": "hi"}]
    closed = tokenizer.apply_chat_template(chat, add_generation_prompt=False, return_dict=False)
    answer = daemon.post(
        "/v1/tokenize", model="starter", messages=chat, add_generation_prompt=False, return_tokens=True
    )
    assert answer.json["data"][0]["tokens"] == closed
    assert _count(daemon, "starter", messages=chat) > len(closed)


def test_an_embedding_counts_what_the_endpoint_counts(daemon: LiveDaemon) -> None:
    usage = daemon.post("/v1/embeddings", model="starter-embed", input=["one", "two words"]).json["usage"]
    assert _count(daemon, "starter-embed", input=["one", "two words"]) == usage["prompt_tokens"]


def test_vllms_name_for_the_input(daemon: LiveDaemon) -> None:
    assert _count(daemon, "starter", prompt="hello there") == _count(daemon, "starter", input="hello there")


# without a model in memory


@only_long
def test_no_weights_are_read_and_nobody_is_put_out(daemon: LiveDaemon) -> None:
    """The processes are small, have no MLX and no weights; the one language model there is room for stays."""
    for name in STARTERS:
        daemon.command("unload", name)
    daemon.control("POST", "/load", {"name": "scripted"})
    loaded = daemon.runners()
    for name in STARTERS:
        _tokenize(daemon, name, "hello")
    assert daemon.runners() == loaded and len(daemon.get("/api/ps").json["models"]) == 1
    processes = _processes(daemon)
    assert 1 <= len(processes) <= 3
    for process in processes:
        maps = Path(f"/proc/{process.pid}/maps")
        if maps.exists():
            assert "mlx" not in maps.read_text() and "safetensors" not in maps.read_text()
        family = [process, *process.children(recursive=True)]
        assert not any(file.path.endswith(".safetensors") for one in family for file in one.open_files())
        assert sum(one.memory_info().rss for one in family) < 400 << 20
    assert 'mlx_serve_requests_total{endpoint="/v1/tokenize",model="' in daemon.get("/metrics").body.decode()


def test_unloading_and_removing_end_the_process(daemon: LiveDaemon) -> None:
    """Whoever asks later gets a new one, or hears that there is no such model."""
    assert daemon.command("copy", "starter-vl", "copy-vl").returncode == 0
    daemon.command("unload", "starter-vl")
    before = {process.pid for process in _processes(daemon)}
    _tokenize(daemon, "copy-vl", "hello")
    (made,) = {process.pid for process in _processes(daemon)} - before
    assert daemon.command("remove", "copy-vl").returncode == 0
    assert not dead(made)  # it has another name
    assert daemon.command("unload", "starter-vl").returncode == 0
    wait_until(lambda: dead(made), "the tokenizer's process has ended")
    assert daemon.post("/v1/tokenize", model="copy-vl", input="hello").status == 404
    assert _count(daemon, "starter-vl", input="hello") > 0


def test_a_process_that_is_killed_is_replaced(daemon: LiveDaemon) -> None:
    """Of a model that is not in memory, whose own process would count."""
    assert "mlx-serve/starter-rerank" not in daemon.runners()
    _tokenize(daemon, "starter-rerank", "hello")
    killed = _processes(daemon)
    for process in killed:
        process.kill()
        wait_until(lambda process=process: dead(process.pid), "it is dead")
    wait_until(
        lambda: daemon.post("/v1/tokenize", model="starter-rerank", input="hello").status == 200, "there is another"
    )
    assert killed and {process.pid for process in _processes(daemon)} - {process.pid for process in killed}


def test_no_process_outlives_a_daemon_that_is_killed(daemon: LiveDaemon) -> None:
    """Nor do its workers."""
    with LiveDaemon(daemon.home / "models") as doomed:
        doomed.ready()
        _tokenize(doomed, "starter", "hello")
        family = [one.pid for process in _processes(doomed) for one in (process, *process.children(recursive=True))]
        assert len(family) >= 2
        doomed.signal(signal.SIGKILL)
        doomed.ended()
        wait_until(lambda: all(map(dead, family)), "every process of the tokenizer has ended")


# bad input


def _text(**body: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/tokenize", {"model": "starter"} | body


def _ids(**body: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/detokenize", {"model": "starter"} | body


BAD: dict[str, tuple[tuple[str, dict[str, Any]], str]] = {
    "nothing to tokenize": (_text(), "input"),
    "an empty list": (_text(input=[]), "input"),
    "a number": (_text(input=3), "input"),
    "a list with a number": (_text(input=["a", 3]), "input[1]"),
    "token ids": (_text(input=[[1, 2]]), "input[0]"),
    "2,049 texts": (_text(input=["a"] * 2049), "input"),
    "100,000 texts": (_text(input=["a"] * 100_000), "input"),
    "5 MB": (_text(input="word " * (1 << 20)), "input"),
    "16 MB": (_text(input=MEGABYTES_16), "input"),
    "16 MB by vLLM's name": (_text(prompt=MEGABYTES_16), "prompt"),
    "both names": (_text(input="a", prompt="a"), "prompt"),
    "input and messages": (_text(input="a", messages=CHAT), "input"),
    "no messages": (_text(messages=[]), "messages"),
    "a message without a role": (_text(messages=[{"content": "a"}]), "messages[0].role"),
    "tools without messages": (_text(input="a", tools=[TOOL]), "tools"),
    "a tool without a name": (_text(messages=CHAT, tools=[{"type": "function"}]), "tools[0].function"),
    "a picture for a model that cannot see": (
        _text(messages=[{"role": "user", "content": [part(data_url(png()))]}]),
        "messages[0].content[0].image_url.url",
    ),
    "a picture that is none": (
        (
            "/v1/tokenize",
            {"model": "starter-vl", "messages": [{"role": "user", "content": [part(data_url(b"x" * 99))]}]},
        ),
        "messages[0].content[0].image_url.url",
    ),
    "16 MB in a message": (_text(messages=[{"role": "user", "content": MEGABYTES_16}]), "messages"),
    "tools for a model without": (
        ("/v1/tokenize", {"model": "starter-vl", "messages": CHAT, "tools": [TOOL]}),
        "tools",
    ),
    "to go on with a question": (_text(messages=CHAT, continue_final_message=True), "continue_final_message"),
    "return_tokens as a text": (_text(input="a", return_tokens="yes"), "return_tokens"),
    "no model": (("/v1/tokenize", {"input": "a"}), "model"),
    "an empty name": (_text(model="", input="a"), "model"),
    "no tokens": (_ids(), "tokens"),
    "an empty list of tokens": (_ids(tokens=[]), "tokens"),
    "a text for tokens": (_ids(tokens="abc"), "tokens"),
    "an id as a text": (_ids(tokens=["a"]), "tokens[0]"),
    "a fraction": (_ids(tokens=[1.5]), "tokens[0]"),
    "a negative id": (_ids(tokens=[-1]), "tokens[0]"),
    "an id without a token": (_ids(tokens=[1, 100_000]), "tokens"),
    "ids and lists": (_ids(tokens=[1, [2]]), "tokens"),
    "2,049 lists": (_ids(tokens=[[1]] * 2049), "tokens"),
    "a million and one ids": (_ids(tokens=[1] * ((1 << 20) + 1)), "tokens"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_a_400_that_names_the_field(daemon: LiveDaemon, case: str) -> None:
    (path, body), param = BAD[case]
    answer = daemon.post(path, **body)
    assert answer.status == 400, answer.body
    error = answer.json["error"]
    assert (error["param"], error["type"]) == (param, "invalid_request_error") and error["message"]
    assert _count(daemon, "starter", input="a") == 1


@pytest.mark.parametrize("path", ["/v1/tokenize", "/v1/detokenize"])
def test_unknown_models_and_bad_json(daemon: LiveDaemon, path: str) -> None:
    answer = daemon.post(path, model="nobody/nothing", input="a", tokens=[1])
    assert answer.status == 404 and answer.json["error"]["code"] == "model_not_found"
    answer = daemon.post(path, model="starter", input=math.nan, tokens=[math.nan])  # as Python writes it
    assert answer.status == 400 and answer.json["error"]["code"] == "invalid_json"


@pytest.mark.parametrize(("name", "instead"), [("starter-embed", "/v1/embeddings"), ("starter-rerank", "/v1/rerank")])
def test_messages_for_a_model_without_a_chat(daemon: LiveDaemon, name: str, instead: str) -> None:
    answer = daemon.post("/v1/tokenize", model=name, messages=CHAT)
    assert answer.status == 400 and answer.json["error"]["param"] == "model"
    assert instead in answer.json["error"]["message"]


# who is alone with what they send


def test_endless_templates_and_megabytes_hold_nobody_up(daemon: LiveDaemon) -> None:
    """Each gets its 400 in the end; meanwhile others count, with the same model too, and a chat goes on."""
    _tokenize(daemon, "endless", "hello")
    chat = {"messages": [{"role": "user", "content": "say P"}]}
    running = daemon.chat_stream("scripted", "say P", max_tokens=2000)
    hostile: list[Any] = [lambda: daemon.post("/v1/tokenize", model="endless", **chat)]
    hostile += [lambda: daemon.post("/v1/tokenize", model="starter", input=MEGABYTES_16)]
    hostile += [lambda: daemon.post("/v1/tokenize", model="endless", input="some words here. " * 10_000)] * 2
    others: list[Any] = [lambda: [_count(daemon, "endless", input="say H") for _ in range(20)]]
    *ends, counts = together([*hostile, *others])
    assert [end.status for end in ends] == [400] * 2 + [200] * 2
    assert [end.json["error"]["param"] for end in ends[:2]] == ["messages", "input"]
    assert len(set(counts)) == 1 and counts[0] > 0
    assert running.wait_for_text()
    running.drop()


def test_a_client_that_hangs_up_ends_its_work(daemon: LiveDaemon) -> None:
    """The worker that renders its endless template is ended, and the process that it belongs to goes on."""
    _tokenize(daemon, "endless", "hello")
    process = psutil.Process(int(daemon.logged("open tokenizer name=local/endless")[-1].rpartition("pid=")[2]))
    before = {worker.pid: used(worker) for worker in process.children()}
    connection = daemon.connect()
    body = json.dumps({"model": "endless", "messages": [{"role": "user", "content": "x"}]})
    connection.request("POST", "/v1/tokenize", body)
    wait_until(lambda: daemon.gauge('requests_in_flight{endpoint="/v1/tokenize"}') == 1, "it is at it")
    busy = wait_until(
        lambda: [worker.pid for worker in process.children() if used(worker) - before.get(worker.pid, 0.0) > 0.2],
        "a worker renders",
    )
    connection.close()
    wait_until(lambda: not {worker.pid for worker in process.children()} & set(busy), "the worker has ended")
    wait_until(lambda: daemon.gauge('requests_in_flight{endpoint="/v1/tokenize"}') == 0, "nobody waits for it")
    assert process.is_running() and _count(daemon, "endless", input="say H") > 0
