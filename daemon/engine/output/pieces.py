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


Piece = Text | Reasoning | Call
