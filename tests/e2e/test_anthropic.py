"""Anthropic's own client against the real daemon and a model that says a script: an agent's turns, whole and streamed,
counted, and refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from support.anthropic_models import AFTER, BEFORE, COMMAND, HELLO, THOUGHT, write_agent_model
from support.live_daemon import LiveDaemon

from mlx_serve.store.store import Store

MODEL = "agent"
HI: Any = [{"role": "user", "content": "Write hi into made.txt."}]
BASH: Any = {
    "name": "Bash",
    "description": "Runs a command.",
    "input_schema": {
        "type": "object",
        "properties": {"command": {"type": "string"}, "description": {"type": "string"}},
        "required": ["command"],
    },
}
THINK: Any = {"type": "enabled", "budget_tokens": 1024}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    folder = tmp_path_factory.mktemp("agent")
    store = Store.open(folder / "models")
    store.pull(str(write_agent_model(folder / MODEL)))
    with LiveDaemon(folder / "models") as running:
        yield running.ready()


def read(usage: Any) -> int:
    """The tokens of a prompt, those that were cached too."""
    return int(usage.input_tokens + usage.cache_read_input_tokens)


def ask(claude: anthropic.Anthropic, messages: Any = HI, **more: Any) -> anthropic.types.Message:
    given: Any = {"model": MODEL, "max_tokens": 2000, "messages": messages} | more
    answer = claude.messages.create(**given)
    counted = {name: value for name, value in given.items() if name not in ("max_tokens", "stop_sequences")}
    assert claude.messages.count_tokens(**counted).input_tokens == read(answer.usage)
    assert answer.usage.output_tokens > 0 and answer._request_id
    return answer


def test_a_turn_of_an_agent(claude: anthropic.Anthropic) -> None:
    """A thought, a sentence and a call; with the result the model ends. What came back is sent as it came."""
    first = ask(claude, tools=[BASH], thinking=THINK)
    thought, said, call = first.content
    assert thought.type == "thinking" and thought.thinking == THOUGHT and thought.signature
    assert said.type == "text" and said.text == BEFORE + "\n"
    assert call.type == "tool_use" and call.name == "Bash" and call.id.startswith("toolu_")
    assert call.input == {"command": COMMAND, "description": "Write 日本 😀"}
    assert first.stop_reason == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "hi"}
    turns = [*HI, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = ask(claude, turns, tools=[BASH], thinking=THINK)
    assert [block.text.strip() for block in second.content if block.type == "text"] == [AFTER]
    assert second.stop_reason == "end_turn" and read(second.usage) > read(first.usage)


def test_the_stream_helper(claude: anthropic.Anthropic) -> None:
    """It adds the events up to the message that is given whole."""
    given: Any = {"model": MODEL, "max_tokens": 2000, "messages": HI, "tools": [BASH], "thinking": THINK}
    whole = claude.messages.create(**given)
    texts, thoughts, names = [], [], []
    with claude.messages.stream(**given) as stream:
        for event in stream:
            names.append(event.type)
            if event.type == "text":
                texts.append(event.text)
            elif event.type == "thinking":
                thoughts.append(event.thinking)
    final = stream.get_final_message()
    assert "".join(thoughts) == THOUGHT and "".join(texts).strip() == BEFORE
    assert names.count("content_block_start") == names.count("content_block_stop") == 3
    for ours, theirs in zip(final.content, whole.content, strict=True):
        assert ours.model_dump(exclude={"id"}) == theirs.model_dump(exclude={"id"})
    assert (final.stop_reason, read(final.usage)) == ("tool_use", read(whole.usage))
    with claude.messages.stream(model=MODEL, max_tokens=100, messages=HI) as plain:
        assert "".join(plain.text_stream) == HELLO


def test_the_tools_run(claude: anthropic.Anthropic) -> None:
    """The client's own loop: it runs what the model calls and gives the result back, until the model ends."""
    ran = []

    @anthropic.beta_tool(name="Bash")
    def bash(command: str, description: str = "") -> str:
        """Runs a command.

        Args:
            command: What to run.
            description: What it does.
        """
        ran.append(command)
        return "hi"

    runner = claude.beta.messages.tool_runner(model=MODEL, max_tokens=2000, messages=HI, tools=[bash])
    last = runner.until_done()
    assert ran == [COMMAND]
    assert [block.text.strip() for block in last.content if block.type == "text"] == [AFTER]


async def test_the_asynchronous_client(daemon: LiveDaemon) -> None:
    http = anthropic.DefaultAsyncHttpxClient(trust_env=False, timeout=100)
    given: Any = {"model": MODEL, "max_tokens": 100, "messages": HI}
    async with anthropic.AsyncAnthropic(
        base_url=daemon.url, auth_token="none", max_retries=0, http_client=http
    ) as made:
        answer = await made.messages.create(**given)
        events = [event async for event in await made.messages.create(stream=True, **given)]
    assert answer.content[0].text == HELLO  # type: ignore[union-attr]
    names = [event.type for event in events]
    assert names[:2] == ["message_start", "content_block_start"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_thinking_is_off_unless_asked_for(claude: anthropic.Anthropic) -> None:
    """Many programs take the first block for the text. A thought that is not to be shown is signed all the same."""
    assert [block.type for block in ask(claude).content] == ["text"]
    thought, said = ask(claude, thinking={"type": "adaptive", "display": "omitted"}).content
    assert thought.type == "thinking" and thought.thinking == "" and thought.signature
    assert said.type == "text" and said.text.strip() == HELLO


def test_stops_and_limits(claude: anthropic.Anthropic) -> None:
    stopped = ask(claude, stop_sequences=["STOP", "nothing"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "STOP")
    assert stopped.content[0].text == "Hello, "  # type: ignore[union-attr]
    cut = ask(claude, max_tokens=2)
    assert cut.stop_reason == "max_tokens" and cut.usage.output_tokens == 2


def test_an_answer_that_has_begun_goes_on(claude: anthropic.Anthropic) -> None:
    """The assistant's last message is continued, and the answer is what comes behind it."""
    begun = [*HI, {"role": "assistant", "content": "Of course: <|say 2|>"}]
    assert ask(claude, begun).content[0].text == HELLO  # type: ignore[union-attr]


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "pick"}])
def test_a_call_that_is_forced(claude: anthropic.Anthropic, choice: Any) -> None:
    schema = {"type": "object", "properties": {"color": {"enum": ["red", "blue"]}}, "required": ["color"]}
    pick: Any = {"name": "pick", "input_schema": schema}
    (call,) = ask(claude, tools=[pick], tool_choice=choice | {"disable_parallel_tool_use": True}).content
    assert call.type == "tool_use" and call.name == "pick" and call.input["color"] in ("red", "blue")


def test_structured_output(claude: anthropic.Anthropic) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    answer = ask(claude, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert isinstance(json.loads(answer.content[0].text)["ok"], bool)  # type: ignore[union-attr]


def test_errors(claude: anthropic.Anthropic) -> None:
    """As the client's own exceptions; a prompt that is too long with the numbers that agents read."""
    with pytest.raises(anthropic.NotFoundError) as missing:
        ask(claude, model="nobody")
    assert missing.value.request_id and "nobody" in str(missing.value)
    with pytest.raises(anthropic.BadRequestError, match=r"'temperature'"):
        ask(claude, extra_body={"temperature": 1.5})
    for words in (70_000, 3_000_000):
        with pytest.raises(anthropic.BadRequestError) as caught:
            claude.messages.create(model=MODEL, max_tokens=9, messages=[{"role": "user", "content": "x " * words}])
        body: Any = caught.value.body
        assert body["error"]["type"] == "invalid_request_error"
        first, second = body["error"]["message"].removeprefix("prompt is too long: ").split(" > ")
        tokens, most = int(first.removesuffix(" tokens")), int(second.removesuffix(" maximum"))
        assert most == 65_536 and tokens >= 2 * 70_000
    assert ask(claude).stop_reason == "end_turn"


def test_models(claude: anthropic.Anthropic) -> None:
    (entry,) = claude.models.list(limit=1000)
    assert entry.id.endswith(MODEL) and entry.type == "model" and entry.created_at.year >= 2026
    assert claude.models.retrieve(entry.id) == entry and claude.models.retrieve(MODEL).id == MODEL
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("nobody")
