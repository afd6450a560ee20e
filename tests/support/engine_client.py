"""A synchronous client of one engine child, for tests: it speaks the daemon's frames over a socketpair.

Every wait has a deadline, and a child that dies is an error with what it wrote to stderr, never a hang.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from mlx_serve.daemon import protocol

STARTUP_SECONDS = 60.0
SILENCE_SECONDS = 30.0


class EngineSilent(Exception):
    """The child said nothing for too long."""


class EngineDied(Exception):
    """The child closed its end; the message holds the end of its stderr."""


@dataclass
class Sequence:
    """What the child has said of one request so far."""

    id: int
    accepted: protocol.Accepted | None = None
    deltas: list[protocol.Delta] = field(default_factory=list)
    finished: protocol.Finished | None = None
    rejected: protocol.Rejected | None = None

    @property
    def done(self) -> bool:
        return self.finished is not None or self.rejected is not None

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def answer(self) -> list[int]:
        """The generated token ids, of a finished request that asked for `want_context`."""
        if self.finished is None or self.finished.context is None:
            raise AssertionError(f"request {self.id} has no context: {self.rejected or self.finished}")
        return list(self.finished.context[self.finished.prompt_tokens :])


class Engine:
    """One child process; `with Engine() as engine:` ends it. `sequences` holds every request by its id."""

    def __init__(self, environ: dict[str, str] | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._stderr = open(Path(self._folder.name) / "stderr", "w+b")  # noqa: SIM115 - closed by close()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlx_serve.daemon.engine.main", "--fd", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=self._stderr,
                env=os.environ | {"TMPDIR": self._folder.name, "HF_HUB_OFFLINE": "1"} | (environ or {}),
            )
        self._received = bytearray()
        self._next_id = 0
        self.sequences: dict[int, Sequence] = {}
        self.gauges = protocol.Gauges()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ask the child to quit, and kill it when it does not."""
        try:
            self.send(protocol.Quit())
        except OSError:
            pass
        self._socket.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._stderr.close()
        self._folder.cleanup()

    # --- frames

    def send(self, message: protocol.ToChild) -> None:
        self._socket.sendall(protocol.encode(message))

    def receive(self, seconds: float = SILENCE_SECONDS) -> protocol.FromChild:
        """The next frame. Raises EngineSilent or EngineDied."""
        deadline = time.monotonic() + seconds
        header = self._read(4, deadline)
        return protocol.decode_from_child(self._read(protocol.frame_length(header), deadline))

    def _read(self, count: int, deadline: float) -> bytes:
        while len(self._received) < count:
            ready, _, _ = select.select([self._socket], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise EngineSilent(f"no whole frame in time; stderr: {self.stderr()}")
            data = self._socket.recv(1 << 20)
            if not data:
                raise EngineDied(f"exit status {self.process.wait(60)}; stderr: {self.stderr()}")
            self._received += data
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def stderr(self) -> str:
        return Path(self._stderr.name).read_text(errors="replace")[-4000:]

    # --- conversations

    def hello(self) -> protocol.Hello:
        message = self.receive(STARTUP_SECONDS)
        if not isinstance(message, protocol.Hello):
            raise AssertionError(f"the first frame is {message}")
        return message

    def load(
        self,
        path: Path,
        *,
        name: str = "local/test",
        max_batch: int = 8,
        prefill_tokens_per_step: int = 512,
        context_length: int | None = None,
        memory_limit: int | None = None,
        kind: protocol.Kind = "llm",
        kernels: Path | None = None,
    ) -> protocol.Loaded:
        """Wait for the first frame if it has not come, load the model, wait until it is there."""
        self.send(
            protocol.Load(
                path=str(path),
                name=name,
                kind=kind,
                max_batch=max_batch,
                prefill_tokens_per_step=prefill_tokens_per_step,
                context_length=context_length,
                memory_limit=memory_limit,
                kernels=None if kernels is None else str(kernels),
            )
        )
        while not isinstance(message := self.receive(STARTUP_SECONDS), protocol.Loaded):
            if isinstance(message, protocol.LoadFailed | protocol.Fatal):
                raise AssertionError(f"loading failed: {message.message}")
        return message

    def generate(self, prompt: protocol.Prompt, **options: object) -> Sequence:
        """Send a request and return at once; its sequence fills while frames are read."""
        self._next_id += 1
        work = protocol.Generate(prompt=prompt, **options)  # type: ignore[arg-type]
        self.sequences[self._next_id] = Sequence(self._next_id)
        self.send(protocol.Ask(id=self._next_id, work=work))
        return self.sequences[self._next_id]

    def cancel(self, sequence: Sequence) -> None:
        self.send(protocol.Cancel(id=sequence.id))

    def steps(self, seconds: float = SILENCE_SECONDS) -> Iterator[protocol.Step]:
        """Step frames as they come, each already noted in the sequences; other frames are passed over."""
        while True:
            message = self.receive(seconds)
            if isinstance(message, protocol.Fatal):
                raise EngineDied(message.message)
            if isinstance(message, protocol.Step):
                self.gauges = message.gauges
                for event in message.events:
                    self._note(event)
                yield message

    def read_until(self, condition: Callable[[], bool], seconds: float = SILENCE_SECONDS) -> None:
        """Read frames until the condition holds."""
        if condition():
            return
        for _ in self.steps(seconds):
            if condition():
                return

    def finish(self, sequences: Iterable[Sequence]) -> None:
        waiting = list(sequences)
        self.read_until(lambda: all(sequence.done for sequence in waiting))

    def ping(self, seconds: float = SILENCE_SECONDS) -> protocol.Pong:
        """The loop's answer; frames that come before it are noted."""
        self._next_id += 1
        self.send(protocol.Ping(id=self._next_id))
        while not isinstance(message := self.receive(seconds), protocol.Pong):
            if isinstance(message, protocol.Step):
                for event in message.events:
                    self._note(event)
        self.gauges = message.gauges
        return message

    def _note(self, event: protocol.Event) -> None:
        sequence = self.sequences[event.id]
        match event:
            case protocol.Accepted():
                sequence.accepted = event
            case protocol.Delta():
                sequence.deltas.append(event)
            case protocol.Finished():
                sequence.finished = event
            case protocol.Rejected():
                sequence.rejected = event
