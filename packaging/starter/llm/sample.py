"""What a generator yields: one exchange, and a whole conversation with what its last answer must fulfil."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Check = tuple[Literal["exact", "contains", "number", "json", "calls"], Any]
Message = dict[str, Any]


@dataclass
class Exchange:
    """A user's turn and its answer. `said` are further messages between both: a tool call and its result, say."""

    task: str
    user: str
    answer: str
    thought: str
    check: Check
    short: str | None = None
    said: list[Message] = field(default_factory=list)
    styled: bool = True  # whether a style of the system prompt may change the answer


@dataclass
class Sample:
    """A conversation that ends with the assistant's turn to be learnt or graded."""

    task: str
    messages: list[Message]
    tools: list[dict[str, Any]]
    thinking: bool
    check: Check
