"""Which tools a model is offered, under which names, and what a choice among them means."""

from __future__ import annotations

from typing import Any

import pytest

from mlx_serve.daemon.protocol import Calling
from mlx_serve.handlers.failure import RequestError
from mlx_serve.handlers.responses.callable_tools import MAX_TOOLS, callable_tools
from mlx_serve.handlers.responses.output_items import custom_input
from mlx_serve.handlers.responses.tool_choice import calling


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "name": name} | more


def space(name: str, *tools: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "namespace", "name": name, "tools": list(tools)} | more


PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Patches.",
    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "a"+'},
}
SOME = [function("shell"), PATCH, space("agents", function("spawn"), function("stop")), {"type": "web_search"}]


def test_functions_go_to_the_template_as_chat_has_them() -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "string"}}}
    tools = callable_tools([function("f", description="d", parameters=parameters, strict=True, defer_loading=True)])
    assert tools.shown() == (
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": parameters, "strict": True}},
    )


def test_a_custom_tool_is_a_function_of_one_text_that_is_told_its_grammar() -> None:
    (shown,) = callable_tools([PATCH]).shown()
    assert shown["function"]["parameters"] == {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    }
    assert shown["function"]["description"].startswith("Patches.") and 'start: "a"+' in shown["function"]["description"]
    number = {"type": "custom", "name": "n", "format": {"type": "grammar", "syntax": "regex", "definition": "[0-9]+|x"}}
    (shown,) = callable_tools([number]).shown()
    assert shown["function"]["parameters"]["properties"]["input"] == {"type": "string", "pattern": "^(?:[0-9]+|x)$"}


def test_names_that_clash_between_namespaces_still_resolve() -> None:
    """The bare name where it stands once, or is that of a function outside; else the namespace's before it."""
    tools = callable_tools(
        [
            space("a", function("f"), function("only")),
            space("b", function("f"), function("g"), {"type": "custom", "name": "c"}),
            function("g"),
            function("a__f"),
        ]
    )
    offered = {tool.offered: (tool.namespace, tool.name) for tool in tools.tools}
    assert offered == {
        "a__f_": ("a", "f"),
        "only": ("a", "only"),
        "b__f": ("b", "f"),
        "b__g": ("b", "g"),
        "c": ("b", "c"),
        "g": (None, "g"),
        "a__f": (None, "a__f"),
    }
    for name, (namespace, own) in offered.items():
        assert tools.offered_name(own, namespace) == name
        found = tools.of_call(name)
        assert found is not None and (found.namespace, found.name) == (namespace, own)
    assert [tool["function"]["name"] for tool in tools.shown()] == list(offered)


def test_what_is_said_of_a_namespace_is_told_once() -> None:
    first, second = callable_tools(
        [space("s", function("f", description="F."), function("g"), description="All.")]
    ).shown()
    assert first["function"]["description"] == "s: All.\n\nF." and "description" not in second["function"]


def test_tools_that_other_servers_run_are_left_out() -> None:
    hosted = (
        "web_search",
        "file_search",
        "code_interpreter",
        "image_generation",
        "local_shell",
        "mcp",
        "tool_search",
        "x",
    )
    tools = callable_tools([{"type": kind, "container": {"a": [1]}} for kind in hosted] + [{"type": "mcp"}])
    assert tools.tools == () and tools.hosted == hosted


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ([{"name": "f"}], "tools[0].type"),
        ([{"type": 7}], "tools[0].type"),
        ([{"type": "function"}], "tools[0].name"),
        ([function("a b")], "tools[0].name"),
        ([function("f", parameters=[1])], "tools[0].parameters"),
        ([function("f", parameters={"a": 2**70})], "tools[0]"),
        ([function("f", strict="yes")], "tools[0].strict"),
        ([function("f"), {"type": "custom", "name": "c", "format": {"type": "grammar"}}], "tools[1].format.syntax"),
        (
            [{"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "lark"}}],
            "tools[0].format.definition",
        ),
        ([{"type": "custom", "name": "c", "format": {"type": "bnf"}}], "tools[0].format.type"),
        ([{"type": "namespace", "name": "n"}], "tools[0].tools"),
        ([space("n", {"type": "web_search"})], "tools[0].tools[0].type"),
        ([space("n", function("f"), function("g", description=1))], "tools[0].tools[1].description"),
        ([function(f"f{number}") for number in range(MAX_TOOLS + 1)], "tools"),
    ],
)
def test_a_tool_that_is_none_is_named(given: Any, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        callable_tools(given)
    assert caught.value.param == param and f"'{param}'" in str(caught.value)


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        (None, Calling()),
        ("auto", Calling()),
        ("none", None),
        ("required", Calling(required=True)),
        ({"type": "function", "name": "shell"}, Calling(required=True, names=("shell",), parallel=False)),
        ({"type": "custom", "name": "apply_patch"}, Calling(required=True, names=("apply_patch",), parallel=False)),
        ({"type": "function", "name": "spawn"}, Calling(required=True, names=("spawn",), parallel=False)),
        ({"type": "function", "name": "agents.spawn"}, Calling(required=True, names=("spawn",), parallel=False)),
        (
            {"type": "function", "name": "stop", "namespace": "agents"},
            Calling(required=True, names=("stop",), parallel=False),
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "shell"}]},
            Calling(names=("shell",)),
        ),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "custom", "name": "apply_patch"}, {"type": "web_search"}],
            },
            Calling(required=True, names=("apply_patch",)),
        ),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}, None),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "namespace", "name": "agents"}]},
            Calling(names=("spawn", "stop")),
        ),
    ],
)
def test_choices(choice: Any, meant: Calling | None) -> None:
    assert calling(choice, True, callable_tools(SOME)) == meant


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        ("any", "use 'auto'"),
        (7, "use 'auto'"),
        (True, "use 'auto'"),
        ({}, "must name a tool"),
        ({"type": "function"}, "must name a tool"),
        ({"type": "function", "name": 7}, "must name a tool"),
        ({"type": "function", "name": "nobody"}, "no function 'nobody'"),
        ({"type": "custom", "name": "shell"}, "no custom 'shell'"),
        ({"type": "function", "name": "shell", "namespace": "agents"}, "no function 'shell'"),
        ({"type": "web_search"}, "web_search are not run here"),
        ({"type": "mcp", "server_label": "x"}, "mcp are not run here"),
        ({"type": "allowed_tools", "mode": "maybe", "tools": [{"type": "web_search"}]}, "auto or required"),
        ({"type": "allowed_tools", "mode": "auto", "tools": []}, "auto or required"),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]}, "none of its tools"),
        ({"type": "allowed_tools", "mode": "auto", "tools": [7]}, "must name a tool"),
    ],
)
def test_choices_that_are_none(choice: Any, why: str) -> None:
    with pytest.raises(RequestError, match=why) as caught:
        calling(choice, True, callable_tools(SOME))
    assert caught.value.param == "tool_choice"
    with pytest.raises(RequestError):
        calling("required", True, callable_tools([{"type": "web_search"}]))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": "a\\nb"}', "a\nb"),
        ('{"patch": "x"}', "x"),
        ('{"input": "x", "more": 1}', "x"),
        ('{"a": "x", "b": "y"}', '{"a": "x", "b": "y"}'),
        ('{"input": 7}', '{"input": 7}'),
        ("{}", ""),
        ("", ""),
        ('{"input": "cut', '{"input": "cut'),
    ],
)
def test_the_text_of_a_custom_call(arguments: str, text: str) -> None:
    """`input`; the only text where the model gave it another name; else all that it said."""
    assert custom_input(arguments) == text
