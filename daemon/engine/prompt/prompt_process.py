"""The engine's side of its prompt process: what goes there, what comes back, and a new one when it ends."""

from __future__ import annotations

import functools
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import msgspec

from ...protocol import Ask, ChatPrompt, Generate, Rejected
from ..grammar.answer_form import bound_by
from ..grammar.compiler import Compiled, GrammarCompiler
from ..grammar.literals import BadGrammar
from ..texts.row import unpacked
from .prepared import Prepared
from .prompt_frames import Drop, Encoded, EncodedRows, Model, Result, body, prompt_job, receive, send, unpack
from .refused import bad_grammar
from .text.encoding import tokenizer_data
from .text.plain_tokenizer import PlainTokenizer

COMMAND = (sys.executable, "-m", "mlx_serve.daemon.engine.prompt.main")
MOST_DEATHS = 3
RETRY_SECONDS = 10.0

_results: msgspec.msgpack.Decoder[Result] = msgspec.msgpack.Decoder(Result)


@dataclass(frozen=True)
class Ready:
    """A prompt that may be queued: what the worker of this kind of work takes."""

    id: int
    prepared: Any


class Prompting(Protocol):
    """What a worker needs of whoever prepares its prompts; `busy` counts those that are on their way."""

    @property
    def busy(self) -> int: ...
    def put(self, ask: Ask) -> None: ...
    def cancel(self, number: int) -> bool: ...
    def claim(self, number: int) -> bool: ...


class PromptProcess:
    """Results go to `deliver`, which must be safe to call from any thread; `put`, `cancel` and `claim` belong to one.

    A thread of its own starts the process and writes to it, so that the engine never waits for either; another reads.
    Every request that has no answer goes to the next process when one ends.
    """

    def __init__(self, deliver: Callable[[Any], None], command: tuple[str, ...] = COMMAND) -> None:
        self._deliver = deliver
        self._command = command
        self._asks: dict[int, Ask] = {}
        self._outgoing: queue.SimpleQueue[_Outgoing] = queue.SimpleQueue()
        self._beginning: list[bytes] = []
        self._process: _Process | None = None
        self._sent: set[int] = set()
        self._deaths = 0
        self._started = 0.0
        self._grammars: GrammarCompiler | None = None
        threading.Thread(target=self._write, name="prompts", daemon=True).start()

    # what the process must know first

    def use_tokenizer(self, tokenizer: Any, folder: str, options: dict[str, Any]) -> None:
        """Before `use_model`, and early, for the process is as long at it as the engine was."""
        plain = isinstance(tokenizer, PlainTokenizer)
        data = tokenizer.data(folder, options) if plain else tokenizer_data(tokenizer, folder, options)
        self._outgoing.put(_Beginning(body(data)))

    def use_model(self, model: Model) -> None:
        self._outgoing.put(_Beginning(body(model)))

    def use_grammars(self, compiler: GrammarCompiler) -> None:
        """What makes the grammars of answers ready, after the process has found that they are some."""
        self._grammars = compiler

    # requests

    def put(self, ask: Ask) -> None:
        self._asks[ask.id] = ask
        self._outgoing.put(ask)

    def cancel(self, number: int) -> bool:
        """Whether the request is still here; no result of it will be claimed."""
        if self._asks.pop(number, None) is None:
            return False
        self._outgoing.put(Drop(id=number))
        return True

    def claim(self, number: int) -> bool:
        """The loop has received the result: False when the request was cancelled meanwhile."""
        return self._asks.pop(number, None) is not None

    @property
    def busy(self) -> int:
        return len(self._asks)

    def close(self) -> None:
        self._outgoing.put(None)

    # the writing thread

    def _write(self) -> None:
        self._start()
        while (message := self._outgoing.get()) is not None:
            match message:
                case _Beginning():
                    self._beginning.append(message.frame)
                    self._send(message.frame)
                case Ask():
                    self._send_ask(message)
                case Drop():
                    if message.id in self._sent:
                        self._send(body(message))
                case _Process() if message is self._process:
                    self._replace(message)
        if self._process is not None:
            self._process.close()

    def _start(self) -> None:
        self._started = time.monotonic()
        self._sent = set()
        try:
            self._process = _Process(self._command, self._receive, self._outgoing.put)
        except OSError as error:
            self._process = None
            self._fail(f"it cannot be started ({error.strerror})")
            return
        for frame in self._beginning:
            self._send(frame)
        for ask in list(self._asks.values()):
            self._send_ask(ask)

    def _replace(self, process: _Process) -> None:
        reason = process.wait()
        self._process = None
        self._deaths += 1
        if self._deaths < MOST_DEATHS:
            self._start()
        else:
            self._fail(f"it ended {self._deaths} times without an answer, the last time with {reason}")

    def _fail(self, reason: str) -> None:
        sys.stderr.write(f"prompts cannot be prepared, for the process that does so fails: {reason}\n")
        sys.stderr.flush()
        for number in list(self._asks):
            self._reject(number)

    def _reject(self, number: int) -> None:
        self._sent.add(number)
        message = "prompts cannot be prepared, for the process that does so fails; `mlx-serve logs` shows why"
        self._deliver(Rejected(id=number, code="internal_error", message=message))

    def _send_ask(self, ask: Ask) -> None:
        if ask.id in self._sent or ask.id not in self._asks:
            return
        if self._process is None:
            if time.monotonic() - self._started < RETRY_SECONDS:
                self._reject(ask.id)
            else:
                self._deaths = MOST_DEATHS - 1
                self._start()
            return
        if len(self._sent) > 1000:
            self._sent &= self._asks.keys()
        self._sent.add(ask.id)
        self._send(body(prompt_job(ask)))

    def _send(self, frame: bytes) -> None:
        if self._process is not None:
            self._process.send(frame)

    # the reading thread

    def _receive(self, frame: bytearray) -> None:
        self._deaths = 0
        result = _results.decode(frame)
        if isinstance(result, EncodedRows):
            self._deliver(Ready(result.id, unpacked(result)))
            return
        if not isinstance(result, Encoded):
            self._deliver(result)
            return
        ask = self._asks.get(result.id)
        if ask is None or not isinstance(ask.work, Generate):
            return
        prepared = Prepared(
            _without_files(ask.work),
            unpack(result.tokens),
            result.room,
            result.truncated,
            result.inside_reasoning,
            result.rendered,
            result.pictures,
            result.grammar,
            packed=result.tokens,
        )
        if self._grammars is None or not result.grammar or ask.work.render_only:
            self._deliver(Ready(result.id, prepared))
            return
        self._grammars.submit(result.grammar, functools.partial(self._deliver_compiled, result.id, prepared))

    def _deliver_compiled(self, number: int, prepared: Prepared, compiled: Compiled | BadGrammar) -> None:
        """Called by the compiler's thread."""
        if isinstance(compiled, BadGrammar):
            self._deliver(bad_grammar(bound_by(prepared.request), str(compiled)).rejected(number))
        else:
            self._deliver(Ready(number, replace(prepared, compiled=compiled)))


def _without_files(work: Generate) -> Generate:
    """Its pictures are read: nobody needs their files while it runs."""
    if not isinstance(work.prompt, ChatPrompt) or not work.prompt.pictures:
        return work
    return msgspec.structs.replace(work, prompt=msgspec.structs.replace(work.prompt, pictures=()))


class _Process:
    """One process and the thread that reads from it; `gone` is told when it has ended."""

    def __init__(
        self, command: tuple[str, ...], receive: Callable[[bytearray], None], gone: Callable[[_Process], None]
    ) -> None:
        """Raises OSError."""
        self._receive = receive
        self._gone = gone
        self._socket, theirs = socket.socketpair()
        for end in (self._socket, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [*command, "--fd", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=os.environ | {"TOKENIZERS_PARALLELISM": "false"},
                )
        except OSError:
            self._socket.close()
            raise
        self._reading = threading.Thread(target=self._read, name="prepared", daemon=True)
        self._reading.start()

    def send(self, frame: bytes) -> None:
        """To one that has ended nothing goes: the reading thread has seen it, or will."""
        try:
            send(self._socket, frame)
        except OSError:
            return

    def close(self) -> None:
        """The process ends when nobody speaks to it any more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait()
        self._reading.join()
        self._socket.close()

    def wait(self) -> str:
        self._socket.close()
        self._process.kill()
        status = self._process.wait()
        return f"signal {-status}" if status < 0 else f"exit status {status}"

    def _read(self) -> None:
        try:
            while (frame := receive(self._socket)) is not None:
                self._receive(frame)
        except OSError:
            return
        finally:
            self._gone(self)


@dataclass(frozen=True)
class _Beginning:
    frame: bytes


_Outgoing = Ask | Drop | _Beginning | _Process | None
