"""Input of a chat: lines with editing and history; multi-line messages between triple quotes."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_QUOTES = '"""'
_MAX_HISTORY = 1000


class LineEditor:
    """Reads messages; the history file has mode 0600. With `remember` False, messages are not saved in it."""

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
        readline.set_history_length(_MAX_HISTORY)
        if "libedit" not in (readline.__doc__ or ""):
            # What is pasted is one message, however many lines it has; Python turns this off, and libedit lacks it.
            readline.parse_and_bind("set enable-bracketed-paste on")
        try:
            readline.read_history_file(history)
        except OSError:  # missing or not readable: start with an empty one
            readline.clear_history()

    def read(self) -> str:
        """One message. Raises EOFError at the end of the input, KeyboardInterrupt at Ctrl-C."""
        line = input(">>> ")
        text = line
        if line.count(_QUOTES) % 2:
            parts = [line]
            while not parts[-1].count(_QUOTES) % 2 or len(parts) == 1:
                parts.append(input("... "))
            text = "\n".join(parts)
        if _QUOTES in text:
            text = text.replace(_QUOTES, "", 2).strip("\n")
        if self.remember and self._readline is not None:
            for part in text.splitlines():
                if part.strip():
                    self._readline.add_history(part)
        return text

    def close(self) -> None:
        """Save the history."""
        if self._readline is None or not self.remember:
            return
        try:
            os.close(os.open(self._history, os.O_WRONLY | os.O_CREAT, 0o600))
            self._readline.write_history_file(self._history)
        except OSError:  # a read-only home: the chat works without a history
            return
