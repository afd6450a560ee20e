"""A program in tmux, a real terminal: its screen as people see it, and keys as they press them."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

from support.waiting import wait_until


class Tmux:
    """A server of its own in `folder`, without anybody's settings, with one window of 80 by 24."""

    def __init__(self, folder: Path, environment: dict[str, str], *line: str) -> None:
        self._socket = folder / "tmux"
        kept = {name: value for name, value in environment.items() if name not in ("TMUX", "NO_COLOR")}
        self._environment = kept | {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        command = f"{shlex.join(line)}; echo ended with $?; exec cat"
        self._do("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", command)

    def _do(self, *arguments: str) -> str:
        command = ["tmux", "-u", "-S", str(self._socket), *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, encoding="utf-8", check=True)
        return done.stdout

    def screen(self, *, styled: bool = False) -> str:
        """What is on the screen; `styled`: with the escape sequences that give it its looks."""
        return self._do("capture-pane", "-p", *(["-e"] if styled else []))

    def keys(self, *names: str) -> None:
        """By tmux's names for keys: Enter, Up, C-c."""
        self._do("send-keys", *names)

    def type(self, text: str) -> None:
        self._do("send-keys", "-l", text)

    def line(self, text: str) -> None:
        self.type(text)
        self.keys("Enter")

    def interrupt(self, answer: str) -> None:
        """Ctrl-C until it is heard: Python's own prompt misses one that comes in the moment before it listens."""
        wait_until(lambda: self._interrupted(answer), f"the screen shows {answer!r}")

    def _interrupted(self, answer: str) -> bool:
        self.keys("C-c")
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            if answer in self.screen():
                return True
            time.sleep(0.05)
        return False

    def paste(self, text: str) -> None:
        """As a terminal does for a program that has asked for marks around what is pasted."""
        self._do("set-buffer", text)
        self._do("paste-buffer", "-p")

    def shows(self, text: str, *, styled: bool = False) -> None:
        wait_until(lambda: text in self.screen(styled=styled), f"the screen shows {text!r}")

    def hides(self, text: str) -> None:
        wait_until(lambda: text not in self.screen(), f"the screen shows {text!r} no longer")

    def close(self) -> None:
        """The program ends at once: one that only hears of its terminal's end still writes into folders that go."""
        group = int(self._do("list-panes", "-F", "#{pane_pid}"))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        with contextlib.suppress(subprocess.CalledProcessError):  # without its only program the server ends by itself
            self._do("kill-server")
