"""What the user types in a chat: lines with editing and history; several lines between triple quotes."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_MARK = '"""'
_MOST_HISTORY = 1000


class Typed:
    """Reads messages; the history lies in a file of mode 0600. `remember` False keeps new ones out of it."""

    def __init__(self, history: Path) -> None:
        self._history = history
        self.remember = True
        try:
            import readline
        except ImportError:  # a Python built without it: no editing, no history
            self._readline = None
            return
        self._readline = readline
        readline.set_auto_history(False)
        readline.set_history_length(_MOST_HISTORY)
        try:
            readline.read_history_file(history)
        except OSError:  # none yet, or not readable: begin with an empty one
            readline.clear_history()

    def read(self) -> str:
        """One message. Raises EOFError at the end of the input, KeyboardInterrupt at Ctrl-C."""
        line = input(">>> ")
        text = line
        if line.count(_MARK) % 2:
            parts = [line]
            while not parts[-1].count(_MARK) % 2 or len(parts) == 1:
                parts.append(input("... "))
            text = "\n".join(parts)
        if _MARK in text:
            text = text.replace(_MARK, "", 2).strip("\n")
        if self.remember and self._readline is not None:
            for part in text.splitlines():
                if part.strip():
                    self._readline.add_history(part)
        return text

    def close(self) -> None:
        """Keep the history for the next chat."""
        if self._readline is None or not self.remember:
            return
        try:
            os.close(os.open(self._history, os.O_WRONLY | os.O_CREAT, 0o600))
            self._readline.write_history_file(self._history)
        except OSError:  # a home on a read-only disk: the chat is worth more than its history
            return
