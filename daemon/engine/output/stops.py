"""Stop strings, found in a growing text with hold-back."""

from __future__ import annotations

from .overlap import overlap


class StopStrings:
    """Finds the earliest stop string and keeps back what could be the beginning of one."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = list(stops)
        self._held = ""
        self.found: str | None = None

    def add(self, text: str) -> str:
        """The characters that may go out. After `found` is set nothing comes any more."""
        if self.found is not None:
            return ""
        if not self._stops:
            return text
        text = self._held + text
        first = min(((at, stop) for stop in self._stops if (at := text.find(stop)) >= 0), default=None)
        if first is not None:
            self._held, self.found = "", first[1]
            return text[: first[0]]
        keep = overlap(text, self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """What was kept back, when the text ends otherwise."""
        held, self._held = self._held, ""
        return "" if self.found is not None else held
