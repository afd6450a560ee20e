"""A model that plays an agent's part: it calls a tool when it is asked, and says a sentence when the tool has answered.

`script` makes the chat template of a copy; `write_agent` the checkpoint of which all are copies.
"""

from __future__ import annotations

import json
from pathlib import Path

from support.live_daemon import LiveDaemon
from support.spoken_calls import TEMPLATES
from support.spoken_model import say, write_spoken

PATCH = "*** Begin Patch\n*** Add File: made.txt\n+hi\n*** End Patch\n"


def call(name: str, **arguments: object) -> str:
    """A call as Hermes writes it."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


TEXTS = {
    "sentence": "The file was made — 好.",
    "thought": "<think>\nLet me see.\n</think>\n\nThe answer is 42.",
    "exec": call("exec_command", cmd="echo hi | tee made.txt"),
    "bash": call("bash", command="echo hi | tee made.txt"),
    "spawn": call("spawn_agent"),
    "patch": call("apply_patch", input=PATCH),
    "thought and exec": f"<think>\nI need a shell.\n</think>\n\n{call('exec_command', cmd='ls')}",
    "two calls": f"Both.\n{call('weather', city='Rome')}\n{call('weather', city='Oslo')}",
    "one call": call("weather", city="Rome"),
    "json": '{"city": "Rome", "days": 3}',
    "shell": call("shell", command="echo hi | tee made.txt"),
    "run_shell_command": call("run_shell_command", command="echo hi | tee made.txt", is_background=False),
    "Bash": call("Bash", command="echo hi | tee made.txt"),
    "whole file": "made.txt\n```\nhi\n```\n",
}
NUMBERS = {name: number for number, name in enumerate(TEXTS)}


def script(first: str, then: str = "sentence", *, contents: bool = False) -> str:
    """A template after which text `first` comes, and `then` once a tool has answered. `contents`: what the messages say
    is in the prompt."""
    shown = "{% for m in messages %}{{ m.content }}{% endfor %}" if contents else ""
    after, before = say(NUMBERS[then]), say(NUMBERS[first])
    chosen = "{% if messages[-1].role == 'tool' %}" + after + "{% else %}" + before + "{% endif %}"
    return "{# " + TEMPLATES["hermes"] + " #}{% if tools %}.{% endif %}" + shown + chosen


def write_agent(folder: Path) -> Path:
    return write_spoken(folder, list(TEXTS.values()), "{{ messages[0].content }}")


def create(daemon: LiveDaemon, name: str, template: str, source: str = "agent") -> str:
    """A copy of the checkpoint with this template, under this name."""
    made = daemon.post("/api/create", model=name, template=template, stream=False, **{"from": source})
    assert made.status == 200, made.body
    return name
