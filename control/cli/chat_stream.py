"""One reply of a model, streamed from `/api/chat` to the terminal, and Ollama's timings after it."""

from __future__ import annotations

import os
import sys
import time

from .client import ApiError, Client, ConnectionBroken, NoDaemon
from .display.tables import duration
from .display.terminal import clean, colours, is_terminal
from .display.waiting_line import WaitingLine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LOOK_SECONDS = 2.0
_LEAST_SECONDS = 0.5


class ChatReply:
    """A received reply: text, reasoning, and the last document with its counts and times."""

    def __init__(self) -> None:
        self.text = ""
        self.thinking = ""
        self.last: dict[str, Any] = {}


class ReplyPrinter:
    """Prints text as it arrives. Reasoning is dim, or between two marks where there are no colours."""

    def __init__(self, show_thinking: bool) -> None:
        self._show_thinking = show_thinking
        self._thinking = False
        self._wrote = False
        self._ended = True

    def thinking(self, text: str) -> None:
        if not self._show_thinking:
            return
        if not self._thinking:
            self._thinking = True
            self._write("\x1b[2m" if colours(sys.stdout) else "Thinking...\n")
            text = text.lstrip()
        self._write(self._safe(text))

    def text(self, text: str) -> None:
        if self._thinking:
            self.end_thinking()
            text = text.lstrip("\n")
        elif not self._wrote:
            text = text.lstrip("\n")
        if text:
            self._wrote = True
            self._ended = text.endswith("\n")
            self._write(self._safe(text))

    def end_thinking(self) -> None:
        if self._thinking:
            self._thinking = False
            self._write("\x1b[0m\n\n" if colours(sys.stdout) else "\n...done thinking.\n\n")

    def close(self) -> None:
        self.end_thinking()
        if self._wrote and not self._ended:
            self._write("\n")

    def _safe(self, text: str) -> str:
        return clean(text) if is_terminal(sys.stdout) else text

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def stream_reply(client: Client, body: dict[str, Any], reply: ChatReply, show_thinking: bool) -> None:
    """Stream one reply to the terminal and into `reply`, which is usable after a Ctrl-C too. Until something of it is
    shown, a line says what it waits for."""
    printer = ReplyPrinter(show_thinking)
    number = f"run-{os.urandom(6).hex()}"
    stream = client.stream("POST", "/api/chat", {**body, "stream": True}, number)
    waiting = WaitingLine(Progress(client, number), sys.stderr)
    try:
        for document in stream:
            message = document.get("message") or {}
            if message.get("content") or (message.get("thinking") and show_thinking):
                waiting.end()
            if message.get("thinking"):
                reply.thinking += message["thinking"]
                printer.thinking(message["thinking"])
            if message.get("content"):
                reply.text += message["content"]
                printer.text(message["content"])
            reply.last = document
    finally:
        # Closing the connection tells the daemon to stop.
        stream.close()  # type: ignore[attr-defined]
        waiting.end()
        printer.close()


class Progress:
    """What the request with this id waits for, as a line; each call looks anew. None when there is nothing to say."""

    def __init__(self, client: Client, number: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._number = number
        self._clock = clock
        self._since: tuple[float, int] | None = None

    def __call__(self) -> str | None:
        try:
            rows = Client(self._client.path, _LOOK_SECONDS).get("/control/v1/requests")["requests"]
        except (ApiError, ConnectionBroken, NoDaemon):
            return None
        row = next((row for row in rows if row["id"] == self._number), None)
        if row is None:
            return None
        return {
            "queued": "waiting for its turn",
            "loading": f"loading {short_name(row['model'] or '')}",
            "prefilling": self._reading(row.get("read_tokens", 0), row["prompt_tokens"]),
            "decoding": f"thinking, {row['generated_tokens']:,} tokens" if row["generated_tokens"] else None,
        }.get(str(row["state"]))

    def _reading(self, read: int, whole: int) -> str:
        """How far, and how fast since the first look: what was known before is there at once."""
        if not whole:
            return "reading the prompt"
        if not read:
            return f"reading the prompt of {whole:,} tokens"
        now = self._clock()
        if self._since is None or read < self._since[1]:
            self._since = now, read
        seconds, tokens = now - self._since[0], read - self._since[1]
        speed = f", {tokens / seconds:,.0f} a second" if seconds >= _LEAST_SECONDS and tokens else ""
        return f"reading the prompt: {read:,} of {whole:,} tokens, {100 * read // whole} %{speed}"


def short_name(model: str) -> str:
    """Without the owners that are our own."""
    return model.removeprefix("mlx-serve/").removeprefix("local/")


def timings(last: dict[str, Any]) -> str:
    """The lines of `ollama run --verbose`, from the nanoseconds and counts of the last document."""
    lines = [("total duration", duration(last.get("total_duration", 0)))]
    lines.append(("load duration", duration(last.get("load_duration", 0))))
    for name in ("prompt eval", "eval"):
        key = name.replace(" ", "_")
        count, nanoseconds = last.get(f"{key}_count", 0), last.get(f"{key}_duration", 0)
        lines.append((f"{name} count", f"{count} token(s)"))
        lines.append((f"{name} duration", duration(nanoseconds)))
        if nanoseconds:
            lines.append((f"{name} rate", f"{count / nanoseconds * 1e9:.2f} tokens/s"))
    return "\n".join(f"{name + ':':<22}{value}" for name, value in lines)
