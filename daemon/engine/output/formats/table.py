"""Which family a model belongs to: found from its chat template and its added tokens, not from its name."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .family import CallBlock, Family, Thoughts
from .format import Format
from .json_objects.apertus import APERTUS
from .json_objects.apriel import APRIEL
from .json_objects.cohere import COMMAND_R7B, COMMAND_R_PLUS
from .json_objects.ernie import ERNIE
from .json_objects.firefunction import FIREFUNCTION
from .json_objects.gigachat import GIGACHAT
from .json_objects.granite import GRANITE
from .json_objects.hermes import HERMES, OPENER
from .json_objects.hunyuan import HUNYUAN
from .json_objects.llama3 import LLAMA3
from .json_objects.nemotron import NEMOTRON
from .json_objects.phi4_mini import PHI4_MINI
from .marked import MarkedFormat
from .markup.deepseek import DEEPSEEK, DEEPSEEK_DSML
from .markup.functionary import FUNCTIONARY_31, FUNCTIONARY_32
from .markup.gemma import FUNCTION_GEMMA, GEMMA4
from .markup.glm import GLM
from .markup.harmony import HARMONY, HarmonyFormat
from .markup.kimi import KIMI
from .markup.lfm2 import LFM2
from .markup.llama4 import LLAMA4
from .markup.minimax import MINIMAX
from .markup.mistral import MISTRAL, MISTRAL_NEMO
from .markup.qwen_xml import QWEN_XML, SEED_OSS
from .notation.call_sink import CallSink
from .notation.objects import objects
from .notation.offered_tools import OfferedTools
from .plain import PlainFormat

UNKNOWN = Family(
    name="unknown",
    found=lambda template, added: True,
    calls=(*HERMES.calls, CallBlock("{", objects(), bare=True, inclusive=True)),
    shape=HERMES.shape,
)
"""A template that takes tools in a notation that is not known here: what most models do."""

FAMILIES = (
    HARMONY, GEMMA4, FUNCTION_GEMMA, MINIMAX, DEEPSEEK_DSML, SEED_OSS, KIMI, GLM, DEEPSEEK, MISTRAL, MISTRAL_NEMO,
    COMMAND_R7B, COMMAND_R_PLUS, APERTUS, APRIEL, GIGACHAT, HUNYUAN, NEMOTRON, GRANITE, PHI4_MINI, FIREFUNCTION,
    QWEN_XML, FUNCTIONARY_31, FUNCTIONARY_32, LFM2, ERNIE, HERMES, LLAMA4, LLAMA3, UNKNOWN,
)  # fmt: skip
"""In the order in which they are looked for: the first one that is found is it."""

THOUGHTS = (
    Thoughts("<think>", "</think>", "\n</think>\n\n"),
    Thoughts("[THINK]", "[/THINK]"),
    Thoughts("<seed:think>", "</seed:think>"),
    Thoughts("<|START_THINKING|>", "<|END_THINKING|>"),
    Thoughts("<|inner_prefix|>", "<|inner_suffix|>"),
    Thoughts("<|channel>thought", "<channel|>"),
    Thoughts("<longcat_think>", "</longcat_think>"),
    Thoughts("<|think:start|>", "<|think:end|>"),
)

_READS_TOOLS = re.compile(r"\b(?:xml_)?tools\b|functools\[")
_KNOWS_CALLS = re.compile("<｜tool▁calls▁begin｜>")
_THINKS = re.compile(
    r"\benable_thinking\b|\breasoning_effort\b|<think>|\[THINK\]|<seed:think>|<\|START_THINKING\|>|<\|inner_prefix\|>|"
    r"<\|channel>thought|<\|channel\|>|\[BEGIN FINAL RESPONSE\]|<longcat_think>|<\|think:start\|>"
)


def find_family(template: str | Mapping[str, str] | None, added: Iterable[str] = ()) -> Family:
    """The family of a model with this chat template, or these named ones, and these added tokens."""
    return _find(_source(template), frozenset(added))


@functools.lru_cache(maxsize=32)
def _find(source: str, tokens: frozenset[str]) -> Family:
    family = next(each for each in FAMILIES if each.found(source, tokens))
    if family.thoughts:
        return family
    found = tuple(
        each for each in THOUGHTS if each.start in source or each.end in source or {each.start, each.end} <= tokens
    )
    return replace(family, thoughts=found)


def capabilities(template: str | Mapping[str, str] | None) -> tuple[str, ...]:
    """What a model with this template can do: `tools`, `thinking`. The store says the same of its files."""
    source = "\n".join(template.values()) if isinstance(template, Mapping) else template or ""
    calls = reads_tools(source) or bool(_KNOWS_CALLS.search(source))
    return ("tools",) * calls + ("thinking",) * bool(_THINKS.search(source))


def reads_tools(template: str) -> bool:
    """Whether a template has a place for tools. To one that has none but knows calls they are described in the system
    message, where it is known how (`prompt.chat.described_tools`)."""
    return bool(_READS_TOOLS.search(template))


def _source(template: str | Mapping[str, str] | None) -> str:
    """Of several named ones, the one that tools go to."""
    if isinstance(template, Mapping):
        return template.get("tool_use") or template.get("default") or ""
    return template or ""


def markers(family: Family) -> frozenset[str]:
    """Every text that means something in this family's answers."""
    thoughts = {text for each in family.thoughts for text in (each.start, each.end)}
    layout = {text for pair in family.layout for text in pair}
    return frozenset({*thoughts, *layout, *(block.opener for block in family.calls), *family.markers, OPENER} - {""})


def open_format(
    family: Family,
    tools: Iterable[Mapping[str, Any]] = (),
    *,
    reasoning: bool,
    calls: bool,
    inside_reasoning: bool = False,
    stream_calls: bool = False,
    bound: bool = False,
) -> Format:
    """A format that follows one answer. `stream_calls`: calls come argument by argument. `bound`: a grammar lets no
    call be written that does not fit."""
    sink = CallSink(OfferedTools(tools, bound=bound), stream=stream_calls) if calls else None
    if family.name == HARMONY.name:
        return HarmonyFormat(sink, reasoning=reasoning) if reasoning or calls else PlainFormat()
    if sink is None and not (reasoning and family.thoughts) and not family.layout:
        return PlainFormat()
    return MarkedFormat(family, sink, reasoning=reasoning, inside_reasoning=inside_reasoning)
