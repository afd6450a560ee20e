"""What models of each family say: calls written as the family's shape has it, and what was understood of a text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlx_serve.daemon.engine.output.formats.family import CallShape, Family
from mlx_serve.daemon.engine.output.formats.format import Format
from mlx_serve.daemon.engine.output.formats.table import FAMILIES, open_format
from mlx_serve.daemon.engine.output.pieces import Call, CallDelta, Piece, Reasoning, Text

Said = tuple[str, dict[str, Any]]


def tool(name: str, **properties: Any) -> dict[str, Any]:
    """A tool with parameters of these types (a name of a type, or a schema)."""
    schemas = {key: {"type": kind} if isinstance(kind, str) else kind for key, kind in properties.items()}
    parameters = {"type": "object", "properties": schemas}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}


TOOLS = (
    tool("weather", city="string", days="integer", exact="boolean", share="number", places={"type": "array"}),
    tool("write_file", path="string", text="string"),
    tool("time"),
)
TEMPLATES = {
    "harmony": "<|channel|>",
    "gemma4": "<|tool_call> <tool_call|> <|channel>thought",
    "function-gemma": "<start_function_call>",
    "minimax": "<minimax:tool_call> <think>",
    "deepseek-dsml": "｜DSML｜ <think>",
    "seed-oss": "<seed:tool_call> <seed:think>",
    "kimi-k2": "<|tool_calls_section_begin|> <think>",
    "glm": "<arg_key> <think>",
    "deepseek": "<｜tool▁calls▁begin｜> <think>",
    "mistral": "[TOOL_CALLS][ARGS] [THINK]",
    "mistral-nemo": "[TOOL_CALLS]",
    "command-r7b": "<|START_ACTION|> <|START_THINKING|>",
    "command-r-plus": "tool_name Action: ```json",
    "apertus": "<|tools_prefix|> <|inner_prefix|>",
    "apriel": "[BEGIN FINAL RESPONSE] <tool_calls>",
    "gigachat": "function call <|role_sep|>",
    "hunyuan": "<tool_calls> <|extra_0|> <think>",
    "nemotron": "<TOOLCALL> <think>",
    "granite": "<|start_of_role|> <|tool_call|> <think>",
    "phi4-mini": "<|/tool_call|>",
    "firefunction": "functools[",
    "qwen-xml": "<function= <parameter= <think>",
    "functionary-3.1": "<function= </function>",
    "functionary-3.2": ">>>${recipient}",
    "lfm2": "<|tool_list_start|> <think>",
    "ernie": "<tool_call> <response> <tool_output> <think>",
    "hermes": "<tool_call> <think>",
    "llama4": "<|header_start|>",
    "llama3": '<|start_header_id|> {"name": function name',
    "unknown": "",
}
"""For each family words by which it is recognised, in place of a chat template."""


def written(shape: CallShape, calls: Sequence[Said]) -> str:
    """The text of calls in a family's own notation."""
    each = (shape.begin + name + shape.middle + _arguments(shape, given) + shape.end for name, given in calls)
    return shape.before + shape.between.join(each) + shape.after


def _arguments(shape: CallShape, given: dict[str, Any]) -> str:
    if shape.element:
        return "".join(
            shape.element.format(
                key=key,
                value=value if isinstance(value, str) else json.dumps(value, ensure_ascii=False),
                string="true" if isinstance(value, str) else "false",
            )
            for key, value in given.items()
        )
    if shape.arguments == "python":
        return ", ".join(f"{key}={value!r}" for key, value in given.items())
    if shape.arguments == "gemma":
        return "{" + ",".join(f"{key}:{_gemma(value, shape)}" for key, value in given.items()) + "}"
    return json.dumps(given, ensure_ascii=False)


def _gemma(value: Any, shape: CallShape) -> str:
    quote = shape.quote
    if isinstance(value, str):
        return f"{quote}{value}{quote}"
    if isinstance(value, list):
        return "[" + ",".join(_gemma(item, shape) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_gemma(item, shape)}" for key, item in value.items()) + "}"
    return json.dumps(value)


@dataclass
class Understood:
    content: str = ""
    reasoning: str = ""
    calls: list[Said] = field(default_factory=list)


def understood(pieces: Iterable[Piece]) -> Understood:
    """What an answer's pieces say together. Raises AssertionError where arguments are no JSON of an object."""
    result = Understood()
    begun: dict[int, list[str]] = {}
    names: dict[int, str] = {}
    for piece in pieces:
        match piece:
            case Text():
                result.content += piece.text
            case Reasoning():
                result.reasoning += piece.text
            case Call():
                result.calls.append((piece.name, _object(piece.arguments)))
            case CallDelta():
                if piece.index not in names:
                    assert piece.name and piece.index == len(names), "a call begins with its name, in order"
                    names[piece.index] = piece.name
                else:
                    assert not piece.name, "a name comes once"
                begun.setdefault(piece.index, []).append(piece.arguments)
    result.calls += [(names[index], _object("".join(parts))) for index, parts in begun.items()]
    return result


def _object(text: str) -> dict[str, Any]:
    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is not JSON")

    text.encode()
    value = json.loads(text, parse_constant=refuse)
    assert isinstance(value, dict)
    return value


def followed(format: Format, chunks: Iterable[str], *, cut: bool = False) -> list[Piece]:
    return [piece for chunk in chunks for piece in format.add(chunk)] + format.finish(cut=cut)


def family_named(name: str) -> Family:
    return next(family for family in FAMILIES if family.name == name)


def read(
    family: Family,
    text: str | Sequence[str],
    *,
    tools: Sequence[dict[str, Any]] = TOOLS,
    cut: bool = False,
    stream: bool = False,
    inside: bool = False,
    reasoning: bool = True,
    calls: bool = True,
) -> Understood:
    """What a format of this family understands of a text, or of one that comes in these chunks."""
    format = open_format(family, tools, reasoning=reasoning, calls=calls, inside_reasoning=inside, stream_calls=stream)
    return understood(followed(format, [text] if isinstance(text, str) else text, cut=cut))
