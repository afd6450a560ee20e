"""The interactive chat of `mlx-serve run`: input, settings and the conversation."""

from __future__ import annotations

import json
import sys

from .chat_stream import ChatReply, short_name, stream_reply, timings
from .client import ApiError
from .display.tables import section
from .display.terminal import note
from .display.waiting_line import WaitingLine
from .line_editor import LineEditor
from .picture_file import PictureError, encoded, take_dropped
from .session import with_hint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from .client import Client

_HELP = """\
  /set             change a setting of this chat (/set alone lists them)
  /show            show the model (/show alone lists what)
  /clear           clear the conversation
  /bye             exit
  /?               this help
  \"\"\"              begin and end a multi-line message
  FILE             the path of a picture in a message shows it to a model that sees
  Ctrl-C           stop the answer
  Ctrl-D           exit"""
_SET_HELP = """\
  /set parameter NAME VALUE   temperature, top_k, top_p, min_p, seed, num_predict, num_ctx, stop, …
  /set system TEXT            the system message
  /set think | nothink        turn reasoning on or off
  /set verbose | quiet        show timings after each answer, or not
  /set format json            answer in JSON
  /set noformat               turn JSON output off
  /set history | nohistory    save input in the history file, or not"""
_SHOW_HELP = """\
  /show info        kind, size, capabilities
  /show parameters  parameters of the model and of this chat
  /show system      the system message
  /show template    the prompt template
  /show license     the license"""
_NUMBERS = {
    "frequency_penalty": float,
    "min_p": float,
    "num_ctx": int,
    "num_keep": int,
    "num_predict": int,
    "presence_penalty": float,
    "repeat_last_n": int,
    "repeat_penalty": float,
    "seed": int,
    "temperature": float,
    "top_k": int,
    "top_p": float,
}


class Chat:
    """A conversation with one model. `body` has the fields that all requests share (model, think, format); `images`
    go with the first message, in base64; `sees`: the model takes pictures."""

    def __init__(
        self,
        client: Client,
        body: dict[str, Any],
        *,
        home: Path,
        system: str | None = None,
        images: list[str] | None = None,
        sees: bool = False,
    ) -> None:
        self._client = client
        self._body = body
        self._system = system
        self._images = images or []
        self._sees = sees
        self._options: dict[str, Any] = {}
        self._messages: list[dict[str, Any]] = []
        self._verbose = False
        self._editor = LineEditor(home / "history")

    def run(self, verbose: bool) -> int:
        self._verbose = verbose
        self._load()
        try:
            self._loop()
        finally:
            self._editor.close()
        return 0

    def _load(self) -> None:
        """Load the model before the first question, so that one that cannot chat fails here."""
        with WaitingLine(lambda: f"loading {short_name(self._body['model'])}", sys.stderr):
            self._client.post("/api/chat", {"model": self._body["model"], "messages": [], "stream": False})

    def _loop(self) -> None:
        while True:
            try:
                text = self._editor.read()
            except EOFError:
                print()
                return
            except KeyboardInterrupt:
                print("\nUse Ctrl-D or /bye to exit.")
                continue
            if text.strip() in ("/bye", "/exit"):
                return
            try:
                if text.startswith("/") and not take_dropped(text)[1]:
                    self._command(text.strip())
                elif text.strip():
                    self._send(*self._shown(text))
            except PictureError as error:
                note(f"{error}; the message was not sent")
            except ApiError as error:
                note(with_hint(str(error), error.hint))

    def _shown(self, text: str) -> tuple[str, list[str]]:
        """The text without the pictures dropped into it, and those. Raises PictureError."""
        rest, paths = take_dropped(text)
        if paths and not self._sees:
            note(f"{self._body['model']} cannot see pictures: it gets the path as text")
            return text, []
        images = [encoded(path) for path in paths]
        for path in paths:
            print(f"Added image {path}.")
        return rest, images

    def _send(self, text: str, images: list[str]) -> None:
        message: dict[str, Any] = {"role": "user", "content": text}
        if images := [*self._images, *images]:
            message["images"] = images
        system = [] if self._system is None else [{"role": "system", "content": self._system}]
        body = {**self._body, "messages": [*system, *self._messages, message]}
        if self._options:
            body["options"] = self._options
        reply = ChatReply()
        try:
            stream_reply(self._client, body, reply, show_thinking=self._body.get("think") is not False)
        except KeyboardInterrupt:
            print()
        self._images = []
        self._messages.append(message)
        if reply.text:
            self._messages.append({"role": "assistant", "content": reply.text})
        print()
        if self._verbose and reply.last.get("done"):
            note(f"{timings(reply.last)}\n")

    def _command(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        commands: dict[str, Callable[[str], None]] = {
            "/set": self._set,
            "/show": self._show,
            "/clear": self._clear,
            "/?": self._help,
            "/help": self._help,
        }
        if name in commands:
            commands[name](rest.strip())
        else:
            print(f"There is no command {name}; /? lists the commands.")

    def _help(self, _: str) -> None:
        print(_HELP)

    def _clear(self, _: str) -> None:
        self._messages = []
        print("Cleared the conversation.")

    def _set(self, rest: str) -> None:
        name, _, value = rest.partition(" ")
        value = value.strip()
        if name == "parameter" and value:
            self._set_parameter(*value.partition(" ")[::2])
        elif name == "system" and value:
            self._system = value
            print("Set the system message.")
        elif name in ("think", "nothink"):
            self._body["think"] = value if value in ("low", "medium", "high") else name == "think"
            print(f"Set {name}.")
        elif name in ("verbose", "quiet"):
            self._verbose = name == "verbose"
            print(f"Set {name}.")
        elif name == "format" and value == "json":
            self._body["format"] = "json"
            print("Set format json.")
        elif name == "noformat":
            self._body.pop("format", None)
            print("Set noformat.")
        elif name in ("history", "nohistory"):
            self._editor.remember = name == "history"
            print(f"Set {name}.")
        else:
            print(_SET_HELP)

    def _set_parameter(self, name: str, value: str) -> None:
        value = value.strip()
        if name == "stop" and value:
            self._options.setdefault("stop", []).append(value.strip('"'))
            print(f"Set parameter stop to {json.dumps(self._options['stop'], ensure_ascii=False)}.")
            return
        kind = _NUMBERS.get(name)
        if kind is None:
            print(f"There is no parameter {name}; the parameters are {', '.join([*_NUMBERS, 'stop'])}.")
            return
        try:
            self._options[name] = kind(value)
        except ValueError:
            print(f"{name} takes {'a whole number' if kind is int else 'a number'}, not {value!r}.")
            return
        print(f"Set parameter {name} to {value}.")

    def _show(self, what: str) -> None:
        if what not in ("info", "parameters", "system", "template", "license"):
            print(_SHOW_HELP)
            return
        found = self._client.post("/api/show", {"model": self._body["model"]})
        if what == "info":
            details = {**found.get("details", {}), "capabilities": ", ".join(found.get("capabilities", []))}
            print(
                section(
                    "Model", [(key, str(value)) for key, value in details.items() if isinstance(value, str) and value]
                )
            )
        elif what == "parameters":
            print(found.get("parameters") or "The model sets no parameters.")
            if self._options:
                print(section("Set in this chat", [(key, json.dumps(value)) for key, value in self._options.items()]))
        elif what == "system":
            print(self._system or found.get("system") or "There is no system message.")
        else:
            print(found.get(what) or f"The model has no {what}.")
