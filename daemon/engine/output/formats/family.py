"""What a family of models does to a text: its reasoning, its calls, and what is layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ...grammar.call_shape import CallShape
from .notation.cursor import Read


@dataclass(frozen=True)
class Thoughts:
    """The markers of a reasoning block. `closing` is what a model writes between its last thought and its answer."""

    start: str
    end: str
    closing: str = ""


@dataclass(frozen=True)
class CallBlock:
    """A block of calls: `opener`, and how what follows is read. `bare`: it counts at the beginning of an answer only,
    and is itself part of what is read, as the bracket of a JSON object is. `closer` ends it, where it must."""

    opener: str
    read: Read
    bare: bool = False
    inclusive: bool = False
    closer: str = ""


@dataclass(frozen=True)
class Family:
    """`layout` are pairs of markers around an answer, which say nothing: the first one is left out where nothing was
    said yet, then the second one too. `found` recognises the family by its chat template and its added tokens.
    `markers` are those of a family that is followed by a format of its own. `efforts` are the template's words for the
    reasoning efforts none, low, medium and high where it has others: "" is to say nothing."""

    name: str
    found: Callable[[str, frozenset[str]], bool]
    answer: str = ""
    """What has to stand before an answer."""
    resume: str = ""
    """What has to stand between a reasoning block and all that follows it."""
    thoughts: tuple[Thoughts, ...] = ()
    calls: tuple[CallBlock, ...] = ()
    layout: tuple[tuple[str, str], ...] = ()
    shape: CallShape | None = None
    markers: tuple[str, ...] = ()
    efforts: Mapping[str, str] = field(default_factory=dict)

    @property
    def opener(self) -> str:
        """The marker that begins a block of calls, "" where calls have none."""
        return next((block.opener for block in self.calls if not block.bare and not block.inclusive), "")

    @property
    def closer(self) -> str:
        """The marker that ends such a block, "" where it may go on to the end."""
        return next((block.closer for block in self.calls if block.opener == self.opener), "")


__all__ = ["CallBlock", "CallShape", "Family", "Thoughts"]
