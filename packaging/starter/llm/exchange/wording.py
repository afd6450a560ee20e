"""How people ask for something: frames around an order, a thing or an indirect question; manners, haste and typos."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...common.data import load
from ...common.phrases import Phrases, expand

_FOLDER = Path(__file__).parent / "wordings"
_FRAMES = load(_FOLDER / "frames.toml")
_SLOT = re.compile(r"(<[a-z]+>)")


def _raised(text: str) -> str:
    return text[:1].upper() + text[1:]


class Asks(Phrases):
    """Wordings to train on: an order, a thing or an indirect question in one of its frames, or a whole."""

    def __init__(
        self,
        held: list[str],
        orders: Sequence[str] = (),
        things: Sequence[str] = (),
        wonders: Sequence[str] = (),
        wholes: Sequence[str] = (),
        share: Sequence[int] = (4, 3, 3, 4),
    ) -> None:
        super().__init__([*orders, *things, *wonders, *wholes], held)
        kinds = (
            (_FRAMES["orders"], "<o>", orders),
            (_FRAMES["things"], "<t>", things),
            (_FRAMES["wonders"], "<w>", wonders),
            (("<q>",), "<q>", wholes),
        )
        self._kinds = [kind for kind, weight in zip(kinds, share, strict=True) for _ in range(weight) if kind[2]]

    def write(self, rng: random.Random) -> str:
        frames, mark, patterns = self._kinds[int(rng.random() * len(self._kinds))]
        said = expand(rng, patterns[int(rng.random() * len(patterns))])
        frame = expand(rng, frames[int(rng.random() * len(frames))]).replace(" 'd ", "'d ")
        # A full stop of the pattern's own would stand inside the frame.
        text = frame.replace(mark, said if frame == mark else said.rstrip(".?"))
        return roughened(rng, _raised(text))


def read(path: Path) -> tuple[dict[str, Any], dict[str, Phrases]]:
    """The lists of a file, and what its `asks` say."""
    found = load(path)
    asks = {name: Phrases(**each) if "train" in each else Asks(**each) for name, each in found.pop("asks", {}).items()}
    return found, asks


def wordings(name: str) -> tuple[dict[str, Any], dict[str, Phrases]]:
    return read(_FOLDER / f"{name}.toml")


def _swapped(rng: random.Random, text: str) -> str:
    """One typo outside of slots."""
    parts = _SLOT.split(text)
    i = rng.randrange(0, len(parts), 2)
    part = parts[i]
    if len(part) > 8:
        at = rng.randrange(1, len(part) - 2)
        if part[at].isalpha() and part[at + 1].isalpha():
            roll = rng.random()
            if roll < 0.5:
                part = part[:at] + part[at + 1] + part[at] + part[at + 2 :]
            else:
                part = part[:at] + (part[at] * 2 if roll < 0.7 else "") + part[at + 1 :]
    parts[i] = part
    return "".join(parts)


def roughened(rng: random.Random, text: str) -> str:
    """People write in lower case, without marks, with typos."""
    roll = rng.random()
    if roll > 0.6:
        return text
    if roll < 0.14:
        text = text[:1].lower() + text[1:]
    elif roll < 0.2:
        text = text.lower()
    elif roll < 0.3:
        text = text.rstrip("?.!")
    elif roll < 0.4:
        text = text.rstrip("?.!") + rng.choice((".", "!", "?", ".", ""))
    elif roll < 0.48:
        text = _swapped(rng, text)
    elif roll < 0.52:
        words = text.split(" ")
        small = [i for i, word in enumerate(words) if word in _FRAMES["small"]]
        if small and len(words) > 4:
            del words[rng.choice(small)]
        text = " ".join(words)
    elif roll < 0.57:
        text = rng.choice(_FRAMES["openings"]) + text[:1].lower() + text[1:]
    elif text.endswith((".", "?", "!")) and "<x>" not in text:
        text += rng.choice(_FRAMES["endings"])
    return text


def with_text(rng: random.Random, wording: str) -> str:
    """The wording with a slot <x>, put behind or before it where it has none."""
    if "<x>" in wording:
        return wording
    if rng.random() < 0.8:
        after = "? <x>" if wording.endswith("?") and rng.random() < 0.4 else rng.choice(_FRAMES["after"])
        body = wording.rstrip(".!:") if not wording.endswith("?") or after[0] not in ":\n -" else wording
        return (body.rstrip("?") if after[0] in "?.;," else body) + after
    before = rng.choice(_FRAMES["before"])
    return before + (wording if before.endswith(("\n", ". ")) else wording[:1].lower() + wording[1:])
