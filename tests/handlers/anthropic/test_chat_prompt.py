"""What a chat template gets of a conversation of Anthropic's."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mlx_serve.daemon.protocol import Calling, ChatPrompt
from mlx_serve.handlers.anthropic.bodies import Conversation
from mlx_serve.handlers.anthropic.chat_prompt import chat_prompt
from mlx_serve.handlers.anthropic.tool_offers import calling, offers
from mlx_serve.handlers.failure import RequestError
from mlx_serve.handlers.pictures.request_pictures import RequestPictures

HI: Any = {"role": "user", "content": "hi"}
BILLING: Any = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.332.f7b; cc_entrypoint=cli;"}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}


def conversation(*messages: Any, **more: Any) -> Conversation:
    return msgspec.convert({"model": "m", "messages": [*messages]} | more, Conversation)


def prompted(*messages: Any, **more: Any) -> ChatPrompt:
    given = conversation(*messages, **more)
    return chat_prompt(given, offers(given), RequestPictures())


def shown(*messages: Any, **more: Any) -> list[dict[str, Any]]:
    return list(prompted(*messages, **more).messages)


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value, "cache_control": {"type": "ephemeral"}}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": [*blocks]}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": [*blocks]}


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "input_schema": {"type": "object"}} | more


def use(identity: str, name: str = "Read") -> dict[str, Any]:
    return {"type": "tool_use", "id": identity, "name": name, "input": {"path": "x"}}


def result(identity: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": identity, "content": content} | more


def test_system() -> None:
    """Text or blocks; what Claude Code puts in front is left out, in either form."""
    assert shown(HI, system="Be brief.")[0] == {"role": "system", "content": "Be brief."}
    assert shown(HI, system=[BILLING, text("a"), text("b")])[0] == {"role": "system", "content": "a\n\nb"}
    assert shown(HI, system=BILLING["text"] + "\nBe brief.")[0]["content"] == "Be brief."
    assert shown(HI, system=[BILLING]) == shown(HI, system=[]) == shown(HI, system="") == [HI]
    one = BILLING | {"text": BILLING["text"] + "\nBe brief."}
    assert shown(HI, system=[one, text("b")])[0]["content"] == "Be brief.\n\nb", "the rest of it is the author's"
    later = [text("a"), BILLING]
    assert "billing" in shown(HI, system=later)[0]["content"], "only the first block is not the author's"


def test_a_system_message_in_the_middle() -> None:
    """As text and as a list alike; one that stands for a turn is gone with the next."""
    as_text = shown(HI, {"role": "system", "content": "s"})
    assert as_text == shown(HI, {"role": "system", "content": [text("s")]})
    assert as_text == [HI, {"role": "system", "content": "s"}]
    brief = {"role": "system", "content": "s", "clear_at": "next_user_message"}
    assert shown(HI, brief) == as_text
    assert shown(HI, brief, assistant(text("a")), HI) == shown(HI, assistant(text("a")), HI)


def test_turns_of_one_role_are_one() -> None:
    assert shown(user(text("a"), text("b")), user(text("c"))) == [{"role": "user", "content": "a\n\nb\n\nc"}]
    both = shown(HI, assistant(text("a"), text("b")), assistant(use("t1")), user(result("t1", "r")))
    assert [each["role"] for each in both] == ["user", "assistant", "tool"]
    assert both[1]["content"] == "ab" and len(both[1]["tool_calls"]) == 1


def test_calls_and_results() -> None:
    """Each result is a message of its own, before what the user says; an error is one to see."""
    turns = shown(
        HI,
        assistant(
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "x"},
            text("Look:"),
            use("t1"),
            use("t2", "Bash"),
        ),
        user(text("and?"), result("t1", [text("one"), text("two")]), result("t2", "no", is_error=True)),
    )
    function = {"name": "Read", "arguments": {"path": "x"}}
    assert turns[1]["thinking"] == "Hm." and turns[1]["content"] == "Look:"
    assert turns[1]["tool_calls"][0] == {"type": "function", "function": function, "id": "t1"}
    assert turns[2:] == [
        {"role": "tool", "content": "one\n\ntwo", "tool_call_id": "t1", "tool_name": "Read"},
        {"role": "tool", "content": "The tool reports an error:\n\nno", "tool_call_id": "t2", "tool_name": "Bash"},
        {"role": "user", "content": "and?"},
    ]


def test_pictures() -> None:
    """Of the user, and of a tool's result, in their places between texts."""
    pictures = RequestPictures()
    given = conversation(
        user(text("a"), IMAGE, text("b"), text("c")),
        assistant(use("t1")),
        user(result("t1", [IMAGE])),
        user({"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}),
    )
    turns = chat_prompt(given, [], pictures).messages
    assert turns[0]["content"] == [
        {"type": "text", "text": "a"},
        {"type": "image"},
        {"type": "text", "text": "b\n\nc"},
    ]
    assert turns[2]["content"] == [{"type": "image"}] and len(pictures) == 3


def test_documents() -> None:
    plain = {"type": "document", "title": "T", "context": "C", "source": {"type": "text", "data": "words"}}
    (turn,) = shown(user(plain, text("?")))
    assert turn["content"] == (
        "<document>\n<title>T</title>\n<context>C</context>\n<document_content>\nwords\n</document_content>\n"
        "</document>\n\n?"
    )
    parts = {"type": "document", "source": {"type": "content", "content": [text("x"), IMAGE]}}
    (turn,) = shown(user(parts))
    assert [part["type"] for part in turn["content"]] == ["text", "image", "text"]
    found = {"type": "search_result", "source": "https://example.org", "title": "T", "content": [text("x")]}
    assert "<source>https://example.org</source>" in shown(user(found))[0]["content"]


def test_prefill() -> None:
    """The assistant's last message goes on; an empty one is none."""
    assert prompted(HI, assistant(text("The best answer is ("))).continue_last
    assert not prompted(HI, assistant(text(""))).continue_last
    assert shown(HI, {"role": "assistant", "content": ""}) == [HI]
    assert not prompted(HI, assistant(text("x")), HI).continue_last


def test_tools_that_wait() -> None:
    """Until they are referred to, by a result or by the system; those that are chosen do not wait."""
    tools = [
        tool("Read", description="reads", type="custom", strict=True, cache_control={"type": "ephemeral"}),
        tool("WebFetch", defer_loading=True),
        tool("Stop", defer_loading=True),
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "browser_toolset_20260801"},
    ]

    def names(*messages: Any, **more: Any) -> list[str]:
        return [each["function"]["name"] for each in prompted(HI, *messages, tools=tools, **more).tools]

    assert names() == ["Read"]
    found = [assistant(use("t1")), user(result("t1", [{"type": "tool_reference", "tool_name": "WebFetch"}]))]
    assert names(*found) == ["Read", "WebFetch"]
    assert "WebFetch" in shown(HI, *found, tools=tools)[-1]["content"]
    assert names(tool_choice={"type": "tool", "name": "Stop"}) == ["Read", "Stop"]
    assert names(tool_choice={"type": "none"}) == []

    def change(kind: str, **given: Any) -> dict[str, Any]:
        return {"role": "system", "content": [{"type": kind, "tool": given}]}

    reference = {"type": "tool_reference", "name": "Read"}
    assert names(change("tool_removal", **reference)) == []
    assert names(change("tool_removal", **reference), change("tool_addition", **reference)) == ["Read"]
    assert names(change("tool_addition", type="tool_definition", definition=tool("New"))) == ["Read", "New"]
    (first, *_) = prompted(HI, tools=tools).tools
    assert first == {
        "type": "function",
        "function": {"name": "Read", "description": "reads", "parameters": {"type": "object"}, "strict": True},
    }


def test_choices() -> None:
    def chosen(**choice: Any) -> Calling:
        given = conversation(HI, tools=[tool("a"), tool("b")], tool_choice=choice)
        return calling(given, offers(given))

    assert chosen(type="auto") == chosen(type="none") == Calling()
    assert chosen(type="any") == Calling(required=True)
    assert chosen(type="any", disable_parallel_tool_use=True) == Calling(required=True, parallel=False)
    assert chosen(type="tool", name="b") == Calling(required=True, names=("b",), parallel=False)


REFUSED: list[tuple[list[Any], dict[str, Any], str]] = [
    ([user()], {}, "messages[0].content"),
    ([user({"type": "text"})], {}, "messages[0].content[0].text"),
    ([user({"type": "video"})], {}, "messages[0].content[0].type"),
    ([user({"type": "image"})], {}, "messages[0].content[0].source"),
    ([user({"type": "image", "source": {"type": "file"}})], {}, "messages[0].content[0].source.type"),
    ([user({"type": "image", "source": {"type": "base64"}})], {}, "messages[0].content[0].source.data"),
    ([user({"type": "image", "source": {"type": "url", "url": "ftp://x"}})], {}, "messages[0].content[0].source.url"),
    (
        [user({"type": "image", "source": {"type": "base64", "media_type": "text/plain", "data": "x"}})],
        {},
        "messages[0].content[0].source.media_type",
    ),
    (
        [user({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "x"}})],
        {},
        "messages[0].content[0].source.type",
    ),
    (
        [user({"type": "document", "source": {"type": "text", "data": "x"}, "citations": {"enabled": True}})],
        {},
        "messages[0].content[0].citations",
    ),
    ([user({"type": "tool_result", "content": "x"})], {}, "messages[0].content[0].tool_use_id"),
    ([user(result("t", [{"type": "tool_reference"}]))], {}, "messages[0].content[0].content[0].tool_name"),
    ([HI, assistant(IMAGE), HI], {}, "messages[1].content[0].type"),
    ([HI, assistant({"type": "tool_use", "name": "x"}), HI], {}, "messages[1].content[0].id"),
    ([HI, assistant({"type": "tool_use", "id": "x", "name": "x"}), HI], {}, "messages[1].content[0].input"),
    ([HI, assistant(use("t"))], {}, "messages[1]"),
    ([HI, assistant({"type": "server_tool_use", "id": "x"}), HI], {}, "messages[1].content[0].type"),
    ([{"role": "system", "content": [IMAGE]}, HI], {}, "messages[0].content[0].type"),
    ([user({"type": "tool_addition", "tool": {"type": "tool_reference"}})], {}, "messages[0].content[0].type"),
    ([HI], {"system": [IMAGE]}, "system[0].type"),
    ([HI], {"tools": [{"input_schema": {}}]}, "tools[0].name"),
    ([HI], {"tools": [{"name": "a b", "input_schema": {}}]}, "tools[0].name"),
    ([HI], {"tools": [{"name": "a"}]}, "tools[0].input_schema"),
    ([HI], {"tools": [{"name": "a", "input_schema": {"type": "string"}}]}, "tools[0].input_schema.type"),
    ([HI], {"tools": [tool("a"), tool("a")]}, "tools[1].name"),
    ([HI], {"tools": [{"name": "a", "input_schema": {"maximum": 10**30}}]}, "tools[0].input_schema"),
    ([HI], {"tools": [tool(f"t{index}") for index in range(513)]}, "tools"),
    ([HI], {"tool_choice": {"type": "any"}}, "tool_choice"),
    ([HI], {"tools": [tool("a")], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ([HI], {"tools": [tool("a")], "tool_choice": {"type": "tool", "name": "b"}}, "tool_choice"),
    ([{"role": "assistant", "content": ""}], {}, "messages"),
]


@pytest.mark.parametrize(
    ("messages", "more", "param"), REFUSED, ids=[f"{i}-{p}" for i, (_, _, p) in enumerate(REFUSED)]
)
def test_what_is_refused_is_named(messages: list[Any], more: dict[str, Any], param: str) -> None:
    given = conversation(*messages, **more)
    with pytest.raises(RequestError) as caught:
        offered = offers(given)
        calling(given, offered)
        chat_prompt(given, offered, RequestPictures())
    assert caught.value.param == param and param in str(caught.value) and caught.value.status == 400
