"""The command in a terminal of its own."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys

from support.waiting import GUARD


class Terminal:
    """The command with a terminal of its own: type into it, wait for what it shows."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self.shown = ""
        near, far = pty.openpty()
        self._near = near
        line = [sys.executable, "-m", "mlx_serve", *arguments]
        self.process = subprocess.Popen(
            line, env={**environment, "TERM": "xterm"}, stdin=far, stdout=far, stderr=far, start_new_session=True
        )
        os.close(far)

    def expect(self, text: str) -> str:
        """What came up to and with `text`; fails at the end of the output."""
        while text not in self.shown:
            try:
                data = os.read(self._near, 4096)
            except OSError:
                data = b""
            assert data, f"{text!r} never came, but {self.shown!r}"
            self.shown += data.decode(errors="replace")
        before, found, self.shown = self.shown.partition(text)
        return before + found

    def type(self, text: str) -> None:
        os.write(self._near, text.encode())

    def say(self, text: str, answer: str) -> str:
        """Type a line, wait for the answer and for the next prompt."""
        self.type(text + "\n")
        return self.expect(answer) + self.expect(">>> ")

    def interrupt(self, answer: str) -> str:
        """Ctrl-C until it is heard: Python's own prompt misses one that comes in the moment before it listens."""
        self.process.send_signal(signal.SIGINT)
        while not select.select([self._near], [], [], 1.0)[0]:
            self.process.send_signal(signal.SIGINT)
        return self.expect(answer)

    def leave(self) -> None:
        """Ctrl-D."""
        self.type("\x04")
        assert self.process.wait(GUARD) == 0

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._near)
