"""What a text is made of once its format is understood."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """For the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call; `arguments` is JSON text of an object."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A part of call number `index` of the answer: its `name` comes first, once; the `arguments` of all its parts
    together are JSON text of an object."""

    index: int
    name: str
    arguments: str


Piece = Text | Reasoning | Call | CallDelta
