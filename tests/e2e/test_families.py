"""Every family of models through the real daemon: a model that says given texts, in every dialect, streamed, and in
OpenAI's chat and Ollama's also whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from support.live_daemon import LiveDaemon, together
from support.spoken_calls import TEMPLATES, TOOLS, Said, Understood, family_named, written
from support.spoken_model import LONGEST_PIECE, write_spoken
from support.spoken_streams import messages_stream, responses_stream

from mlx_serve.daemon.engine.output.formats.table import find_family
from mlx_serve.store.store import Store

NAMES = sorted(TEMPLATES)
CODE = "def f(x):\n    return x < 3 and '</x>'  # \\d 日本語 😀\n"
CALLS: list[Said] = [
    ("weather", {"city": "Århus 北京 👍🏽", "days": 3, "exact": True, "share": 0.5}),
    ("write_file", {"path": "a b.py", "text": CODE}),
]
CASES = ("calls", "mistakes")


def told(name: str, case: str) -> tuple[str, Understood]:
    """What the model of a family says, and what is to be understood: thoughts, prose and two calls; or a call that is
    nearly JSON, or of a tool that nobody offers."""
    family = find_family(TEMPLATES[name])
    shape = family.shape
    assert shape is not None
    bare = name in ("llama3", "llama4", "functionary-3.2")
    between = "<|start|>assistant" if name == "harmony" else ""
    if case == "calls":
        calls = written(shape, CALLS)
        said = Understood(calls=CALLS)
        text = calls
        if not bare:
            said.content = f"Ich sehe 見る nach, mit {shape.begin[:3]}…"
            text = f"{said.content}\n\n{calls}"
            if name == "harmony":
                text = f"<|channel|>commentary<|message|>{said.content}<|end|><|start|>assistant{calls}"
        if family.thoughts:
            thought = family.thoughts[0]
            said.reasoning = "Hmm, 考える 🤔"
            text = f"{thought.start}{said.reasoning}{thought.end}{between}{text}"
        return text, said
    if shape.arguments == "json" and not shape.element:
        text = written(shape, [("weather", {"city": "@"})]).replace(
            '{"city": "@"}', "{'city': 'Ro\nme \\d', days: \"3\",}"
        )
        return text, Understood(calls=[("weather", {"city": "Ro\nme \\d", "days": 3})])
    text = written(shape, [("forecast", {"city": "Rome"})])
    return text, Understood(content=text)


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    """A daemon with one checkpoint, of which each family is a copy with a template of its own."""
    folder = tmp_path_factory.mktemp("spoken")
    texts = [told(name, case)[0] for name in NAMES for case in CASES]
    write_spoken(folder / "spoken", texts, "{{ messages[0].content }}")
    store = Store.open(folder / "models")
    store.pull(str(folder / "spoken"))
    with LiveDaemon(folder / "models", cache_max_llm_models=2) as running:
        yield running.ready()


def template(name: str) -> str:
    """A chat template in which the family is found, and which writes the token that says what comes."""
    return "{# " + TEMPLATES[name] + " #}{% if tools %}.{% endif %}{{ '<|say ' ~ messages[-1].content ~ '|>' }}"


def of(tokens: Any) -> str:
    return b"".join(bytes(token["bytes"]) for token in tokens or []).decode(errors="replace")


def covers(logprobs: Any, content: str, reasoning: str) -> None:
    """Each text is its tokens' but for a token at either end, which may be of two parts here."""
    found, edge = of(logprobs["content"]).strip(), 2 * LONGEST_PIECE
    assert content.strip()[edge:-edge] in found and len(found) <= len(content) + 2 * edge
    assert reasoning.strip()[edge:-edge] in of(logprobs.get("reasoning_content"))
    assert bool(reasoning) == bool(logprobs.get("reasoning_content"))


def check_logprobs(message: Any, logprobs: Any, tokens: int) -> None:
    """The tokens of the content are the content, those of the thought have the thought in them, and none is twice."""
    covers(logprobs, message["content"] or "", message.get("reasoning_content", ""))
    assert bool(message.get("tool_calls")) == bool(logprobs.get("tool_calls"))
    listed = [token for tokens in logprobs.values() for token in tokens or []]
    assert len(listed) <= tokens and all(token["logprob"] <= 0 for token in listed)


def openai_whole(daemon: LiveDaemon, name: str, number: int) -> Understood:
    answer = daemon.chat(name, str(number), tools=[*TOOLS], logprobs=True)
    check_logprobs(
        answer.json["choices"][0]["message"],
        answer.json["choices"][0]["logprobs"],
        answer.json["usage"]["completion_tokens"],
    )
    choice = answer.json["choices"][0]
    message = choice["message"]
    calls = [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message.get("tool_calls", [])]
    assert choice["finish_reason"] == ("tool_calls" if calls else "stop")
    assert message.get("reasoning") == message.get("reasoning_content")
    return Understood(message["content"] or "", message.get("reasoning_content", ""), calls)


def openai_stream(daemon: LiveDaemon, name: str, number: int) -> Understood:
    result = Understood()
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    ids: set[str] = set()
    tokens: dict[str, list[Any]] = {}
    with daemon.chat_stream(name, str(number), tools=[*TOOLS], logprobs=True) as stream:
        records = [record for record in stream if record != "[DONE]"]
    for record in records:
        for choice in record["choices"]:
            delta = choice["delta"]
            for part, listed in (choice["logprobs"] or {}).items():
                tokens.setdefault(part, []).extend(listed or [])
            result.content += delta.get("content") or ""
            result.reasoning += delta.get("reasoning_content") or ""
            for part in delta.get("tool_calls", []):
                if "id" in part:
                    names[part["index"]] = part["function"]["name"]
                    ids.add(part["id"])
                arguments[part["index"]] = arguments.get(part["index"], "") + part["function"]["arguments"]
    covers(tokens, result.content, result.reasoning)
    assert len(ids) == len(names) and list(names) == list(range(len(names)))
    result.calls = [(names[index], json.loads(text)) for index, text in arguments.items()]
    return result


def ollama(daemon: LiveDaemon, name: str, number: int, *, stream: bool) -> Understood:
    result = Understood()
    if stream:
        with daemon.ollama_stream(name, str(number), tools=[*TOOLS]) as lines:
            records: list[Any] = list(lines)
    else:
        user = {"role": "user", "content": str(number)}
        records = [daemon.post("/api/chat", model=name, messages=[user], tools=[*TOOLS], stream=False).json]
    for record in records:
        message = record["message"]
        result.content += message["content"]
        result.reasoning += message.get("thinking", "")
        result.calls += [(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls", [])]
    return result


@pytest.mark.parametrize("name", NAMES)
def test_a_family_in_every_dialect(speaking: LiveDaemon, name: str) -> None:
    """All at the same time: what one of them says is in no other's answer."""
    assert family_named(name)
    made = speaking.post("/api/create", model=name, **{"from": "spoken", "template": template(name), "stream": False})
    assert made.status == 200, made.body
    for case in CASES:
        number = NAMES.index(name) * len(CASES) + CASES.index(case)
        expected = told(name, case)[1]
        ways = (
            partial(openai_whole, speaking, name, number),
            partial(openai_stream, speaking, name, number),
            partial(ollama, speaking, name, number, stream=False),
            partial(ollama, speaking, name, number, stream=True),
            partial(messages_stream, speaking, name, str(number)),
            partial(responses_stream, speaking, name, str(number)),
        )
        for answer in together(ways):
            assert answer.calls == expected.calls
            assert answer.content.strip() == expected.content.strip()
            assert answer.reasoning.strip() == expected.reasoning
    forced_in_its_notation(speaking, name)


EMPTY: Any = {"type": "function", "function": {"name": "time"}}


def forced_in_its_notation(speaking: LiveDaemon, name: str) -> None:
    """A forced call is bound by the grammar of the family of the template that the model was created with, to the
    letter, and read as that family's."""
    named = {"type": "function", "function": {"name": "time"}}
    answer = speaking.chat(name, "0", tools=[EMPTY], tool_choice=named, logprobs=True, reasoning_effort="none")
    choice = answer.json["choices"][0]
    shape = find_family(TEMPLATES[name]).shape
    assert shape is not None
    raw = of(choice["logprobs"]["tool_calls"])
    assert "".join(raw.split()) == "".join(written(shape, [("time", {})]).split())
    assert choice["finish_reason"] == "tool_calls" and not choice["message"]["content"]
    assert not choice["logprobs"]["content"]
    (call,) = choice["message"]["tool_calls"]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("time", {})


def test_a_thought_has_a_budget(speaking: LiveDaemon) -> None:
    """The model would think on: its block is closed after so many tokens, streamed and whole, and text follows."""
    made = speaking.post(
        "/api/create", model="thinker", **{"from": "spoken", "template": template("hermes")}, stream=False
    )
    assert made.status == 200, made.body
    number = NAMES.index("hermes") * len(CASES)
    whole = speaking.chat("thinker", str(number), max_tokens=40).json["choices"][0]["message"]
    assert whole["reasoning_content"] == told("hermes", "calls")[1].reasoning
    options = {"thinking_budget": 1, "max_tokens": 40, "temperature": 0}  # what follows is no text of its script
    cut = speaking.chat("thinker", str(number), **options).json
    thought = cut["choices"][0]["message"].get("reasoning_content", "").rstrip("\n\ufffd")
    assert len(thought) < len(whole["reasoning_content"]) and whole["reasoning_content"].startswith(thought)
    assert cut["choices"][0]["message"]["content"]
    with speaking.chat_stream("thinker", str(number), **options) as stream:
        deltas = [record["choices"][0]["delta"] for record in stream if record != "[DONE]"]
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas).rstrip("\n\ufffd") == thought
    assert any(delta.get("content") for delta in deltas)
    used = cut["usage"]["completion_tokens_details"]["reasoning_tokens"]
    assert 0 < used < cut["usage"]["completion_tokens"]
    for more in ({"thinking_budget": 1}, {"options": {"thinking_budget": 1}}):
        user = [{"role": "user", "content": str(number)}]
        given = {"options": {}} | more
        given["options"] = given["options"] | {"num_predict": 40, "temperature": 0}
        ollama = speaking.post("/api/chat", model="thinker", messages=user, stream=False, **given).json["message"]
        assert ollama.get("thinking", "").rstrip("\n\ufffd") == thought and ollama["content"]
    refused = speaking.chat("spoken", "0", thinking_budget=5)
    assert refused.status == 400 and refused.error["param"] == "thinking_budget"


@pytest.mark.parametrize(
    ("source", "takes"),
    [
        ("<｜tool▁calls▁begin｜>", True),  # DeepSeek V3.1's: it knows calls, and has no place for tools
        ("{% if xml_tools %}.{% endif %}", True),  # SmolLM3's
        ("{% if toolset %}.{% endif %}", False),
    ],
)
def test_what_is_shown_is_what_a_request_gets(speaking: LiveDaemon, source: str, takes: bool) -> None:
    """Tools among the capabilities: they are taken, and calls of them forced; not among them: they are refused."""
    written = source if source.startswith("{%") else "{# " + source + " #}"
    text = written + "{{ '<|say ' ~ messages[-1].content ~ '|>' }}"
    made = speaking.post("/api/create", model="shown", **{"from": "spoken", "template": text, "stream": False})
    assert made.status == 200, made.body
    assert ("tools" in speaking.post("/api/show", model="shown").json["capabilities"]) == takes
    asked = {"tools": [EMPTY], "tool_choice": "required", "parallel_tool_calls": False}
    answer = speaking.chat("shown", "0", **asked)
    assert answer.status == (200 if takes else 400)
    if takes:
        assert answer.json["choices"][0]["finish_reason"] == "tool_calls"
    whole = speaking.post("/api/chat", model="shown", messages=[{"role": "user", "content": "0"}], tools=[EMPTY])
    assert whole.status == answer.status
