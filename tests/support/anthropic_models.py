"""A model that says what an agent's model would say: a call of a tool, and a sentence once it has the result."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from support.spoken_model import write_spoken

TEMPLATE = """\
{# <tool_call> <think> enable_thinking #}
{%- if tools %}{{ tools | tojson }}{% endif %}
{%- for message in messages %}
<{{ message.role }}>
{%- if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}
{%- if message.content is string %}{{ message.content }}{% endif %}
{%- if message.tool_calls %}{{ message.tool_calls | tojson }}{% endif %}
{%- endfor %}
{%- set last = messages[-1] %}
{%- if last.role == 'tool' %}{% set number = 1 %}
{%- elif tools and tools[0].function.name == 'read' %}{% set number = 4 %}{% elif tools %}{% set number = 0 %}
{%- elif enable_thinking %}{% set number = 3 %}{% else %}{% set number = 2 %}{% endif %}
{%- if add_generation_prompt %}{{ '<|say ' ~ number ~ '|>' }}{% endif %}"""
COMMAND = "echo hi | tee made.txt"
CALL = '{"name": "Bash", "arguments": {"command": "' + COMMAND + '", "description": "Write 日本 😀"}}'
THOUGHT = "They want a file 考."
BEFORE, AFTER = "I write it.", "The file is written. 👍🏽"
HELLO = "Hello, STOP, how are you?"
TEXTS = (
    f"<think>{THOUGHT}</think>\n\n{BEFORE}\n<tool_call>\n{CALL}\n</tool_call>",
    f"<think>Well.</think>\n\n{AFTER}",
    HELLO,
    f"<think>{THOUGHT}</think>\n\n{HELLO}",
    f"{BEFORE}\n<tool_call>\n{CALL.replace('Bash', 'bash')}\n</tool_call>",
)
"""With tools and no result yet; behind a result; without tools, and the same with thinking; with pi's tools."""


def write_agent_model(folder: Path, prompts: Iterable[str] = ()) -> Path:
    """`prompts`: texts of whose words the commonest are tokens of its vocabulary."""
    words = Counter(word for text in prompts for word in re.findall(r" ([A-Za-z]+)", text))
    return write_spoken(folder, TEXTS, TEMPLATE, words=[word for word, _ in words.most_common(400)])
