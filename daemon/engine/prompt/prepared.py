"""A prompt as the engine takes it: tokens, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...protocol import Generate
from .prompt_frames import PackedPicture

if TYPE_CHECKING:
    from ..grammar.compiler import Compiled


@dataclass(frozen=True)
class Prepared:
    """`tokens` are never empty, and `packed` what they were sent as, int32. `room` is how many may be generated.
    `inside_reasoning`: the prompt itself opens a reasoning block. `grammar` is what llguidance compiles, "" for none;
    `compiled` is there once it is."""

    request: Generate
    tokens: list[int]
    room: int
    truncated: bool
    inside_reasoning: bool
    rendered: str
    pictures: tuple[PackedPicture, ...] = ()
    grammar: str = ""
    compiled: Compiled | None = None
    packed: bytes = field(default=b"", compare=False)
