"""Thinking: what a request says of it, and the signatures of thoughts that come back with the next request.

A signature proves nothing: a thought that comes back is given to the chat template whoever had it. That of a thought
which was left out of the answer (`display` `omitted`) holds it, so that it comes back all the same.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Literal, TypeAlias

from .blocks import Block
from .bodies import Conversation, Effort

Level: TypeAlias = Literal["low", "medium", "high"]
_LEVELS: Mapping[Effort, Level] = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_HELD = "mlx-serve-thought."
_SHOWN = "mlx-serve-digest."


def wanted(body: Conversation) -> bool | Level:
    """Whether the model is to think, and how hard. Not unless the client asks, as with Anthropic's own models: many
    take the first block of an answer for its text."""
    if body.thinking is None or body.thinking.type == "disabled":
        return False
    effort = body.output_config.effort if body.output_config is not None else None
    return True if effort is None else _LEVELS[effort]


def budget(body: Conversation) -> int | None:
    if body.thinking is None or body.thinking.type != "enabled":
        return None
    return body.thinking.budget_tokens


def omitted(body: Conversation) -> bool:
    """Whether the answer is to be without the thought's text."""
    return body.thinking is not None and body.thinking.display == "omitted"


def signature(thought: str, *, held: bool) -> str:
    data = thought.encode("utf-8", "surrogatepass")
    if held:
        return _HELD + base64.b64encode(data).decode()
    return _SHOWN + base64.b64encode(hashlib.sha256(data).digest()).decode()


def recalled(block: Block) -> str:
    """The thought of a block that came back, "" where nobody can tell."""
    if block.thinking:
        return block.thinking
    given = block.signature or ""
    if not given.startswith(_HELD):
        return ""
    try:
        return base64.b64decode(given[len(_HELD) :], validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
