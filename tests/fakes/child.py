"""A child process that speaks the daemon's frames and has no model: what it does is asked of it in words.

Run as `python fakes/child.py [MODE…] --fd N`. Modes before Hello: `silent`, `die`, `garbage`, `old` (another protocol),
`loud` (a megabyte on stderr without a line's end), `memory=BYTES`. On Load, words in the model's name decide: `dies`,
`damaged`, `unsupported`, `large`, `broken`, `deaf` (ignores Quit), `hangs`, `endless` (as a load that says it is at
work); `NNmb` is the size of its weights. On Generate, the
first word of the text: see `BEHAVIOURS`; any other text is said back word by word. `Count` counts words, or what its
text names: `cancels`, `pings`.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable

from mlx_serve.daemon import protocol
from mlx_serve.daemon.protocol import (
    Accepted,
    Ask,
    Cancel,
    Count,
    Counted,
    Delta,
    Fatal,
    Finished,
    FromChild,
    Gauges,
    Generate,
    Hello,
    Load,
    Loaded,
    LoadFailed,
    Loading,
    Ping,
    Pong,
    Quit,
    Rejected,
    Step,
    TextPrompt,
    ToChild,
    TokenLogprob,
    ToolCall,
)

FAILURES = {
    "damaged": "bad_model",
    "unsupported": "unsupported",
    "large": "insufficient_memory",
    "broken": "internal_error",
}


class FakeChild:
    def __init__(self, sock: socket.socket, modes: list[str]) -> None:
        self.socket = sock
        self.modes = modes
        self.stream = sock.makefile("rb")
        self.waiting: list[int] = []
        self.until_pings: dict[int, int] = {}
        self.cancels = self.pings = 0
        self.longest_step = 0.0
        self.deaf = False

    def send(self, frame: FromChild) -> None:
        self.socket.sendall(protocol.encode(frame))

    def events(self, *events: protocol.Event) -> None:
        self.send(Step(events=events, gauges=self.gauges))

    @property
    def gauges(self) -> Gauges:
        return Gauges(running=len(self.waiting), steps=self.pings, longest_step=self.longest_step)

    def receive(self) -> ToChild:
        header = self.stream.read(4)
        if len(header) < 4:
            os._exit(0)
        return protocol.decode_to_child(self.stream.read(protocol.frame_length(header)))

    def greet(self) -> None:
        if "die" in self.modes:
            sys.stderr.write("cannot import\n")
            os._exit(7)
        if "silent" in self.modes:
            pause()
        if "garbage" in self.modes:
            self.socket.sendall(b"\x00\x00\x00\x05hello")
        if "loud" in self.modes:
            os.write(2, b"x" * (1 << 20))
        memory = next((int(mode[7:]) for mode in self.modes if mode.startswith("memory=")), 1 << 34)
        number = protocol.PROTOCOL + ("old" in self.modes)
        self.send(Hello(protocol=number, pid=os.getpid(), backend="cpu", device="fake", device_memory=memory))

    def live(self) -> None:
        self.greet()
        while True:
            match self.receive():
                case Load() as load:
                    self.load(load)
                case Ask(id=number, work=Generate() as request):
                    self.generate(number, request)
                case Ask(id=number, work=Count() as count):
                    self.count(number, count)
                case Cancel() as cancel:
                    self.cancels += 1
                    if cancel.id in self.waiting:
                        self.waiting.remove(cancel.id)
                    self.until_pings.pop(cancel.id, None)
                    self.events()
                case Ping() as ping:
                    self.ping(ping)
                case Quit():
                    if self.deaf:
                        pause()
                    return

    def load(self, load: Load) -> None:
        if "dies" in load.name:
            os._exit(9)
        if "hangs" in load.name:
            pause()
        while "endless" in load.name:
            self.send(Loading())
            time.sleep(0.01)
        for word, code in FAILURES.items():
            if word in load.name:
                self.send(LoadFailed(code=code, message=f"it is {word}"))  # type: ignore[arg-type]
                return
        self.deaf = "deaf" in load.name
        size = re.search(r"(\d+)mb", load.name)
        self.send(
            Loaded(
                weight_bytes=int(size[1]) << 20 if size else 1 << 20,
                kv_bytes_per_token=16,
                context_length=4096,
                vocabulary=320,
                batchable=True,
            )
        )

    def count(self, number: int, count: Count) -> None:
        texts = [prompt.text for prompt in count.prompts if isinstance(prompt, TextPrompt)]
        known = {"cancels": self.cancels, "pings": self.pings}
        self.events(Counted(id=number, counts=tuple(known.get(text, len(text.split())) for text in texts)))

    def ping(self, ping: Ping) -> None:
        self.pings += 1
        self.send(Pong(id=ping.id, gauges=self.gauges))
        for number, wanted in list(self.until_pings.items()):
            if self.pings >= wanted:
                del self.until_pings[number]
                self.finish(number, 0)

    def generate(self, number: int, request: Generate) -> None:
        text = request.prompt.text if isinstance(request.prompt, TextPrompt) else ""
        words = text.split()
        if request.render_only:
            self.events(Accepted(id=number, prompt_tokens=len(words), rendered=f"<{text}>", last=True))
            return
        if words[:1] == ["reject"]:
            self.events(Rejected(id=number, code="invalid_request", message="no such thing", param="prompt"))
            return
        self.events(Accepted(id=number, prompt_tokens=len(words)))
        BEHAVIOURS.get(words[0] if words else "", say)(self, number, words)

    def delta(self, number: int, text: str, tokens: int = 1) -> None:
        self.events(Delta(id=number, text=text, tokens=tokens))

    def finish(self, number: int, tokens: int) -> None:
        self.events(Finished(id=number, reason="stop", prompt_tokens=1, completion_tokens=tokens))


def pause() -> None:
    while True:
        signal.pause()


def say(child: FakeChild, number: int, words: list[str]) -> None:
    for place, word in enumerate(words):
        child.delta(number, word + " ", place + 1)
    child.finish(number, len(words))


def flood(child: FakeChild, number: int, words: list[str]) -> None:
    """So many deltas with everything in them, a frame each."""
    for place in range(int(words[1])):
        child.events(
            Delta(
                id=number,
                text=f"{place} ",
                reasoning=f"r{place} ",
                tool_calls=(ToolCall(name=f"f{place}", arguments="{}"),),
                logprobs=(TokenLogprob(token=str(place), logprob=-1.0),),
                tokens=place + 1,
            )
        )
    child.finish(number, int(words[1]))


def wait(child: FakeChild, number: int, words: list[str]) -> None:
    """One delta, then nothing until it is cancelled, or somebody says `go`."""
    child.waiting.append(number)
    child.delta(number, "waiting")


def go(child: FakeChild, number: int, words: list[str]) -> None:
    for one in child.waiting:
        child.finish(one, 1)
    child.waiting.clear()
    child.finish(number, 0)


def pings(child: FakeChild, number: int, words: list[str]) -> None:
    """Ends with the Ping of that number."""
    child.until_pings[number] = int(words[1])


def die(child: FakeChild, number: int, words: list[str]) -> None:
    child.delta(number, "dying")
    os._exit(3)


def be_killed(child: FakeChild, number: int, words: list[str]) -> None:
    child.delta(number, "dying")
    os.kill(os.getpid(), signal.SIGKILL)


def fatal(child: FakeChild, number: int, words: list[str]) -> None:
    child.send(Fatal(message="the device is gone"))
    os._exit(0)


def long(child: FakeChild, number: int, words: list[str]) -> None:
    """Says that its longest step took so many seconds, and hangs."""
    child.longest_step = float(words[1])
    hang(child, number, words)


def hang(child: FakeChild, number: int, words: list[str]) -> None:
    child.delta(number, "hanging")
    pause()


def leave(child: FakeChild, number: int, words: list[str]) -> None:
    """Close the socket and stay."""
    child.socket.shutdown(socket.SHUT_RDWR)
    pause()


def garbage(child: FakeChild, number: int, words: list[str]) -> None:
    child.delta(number, "before")
    child.socket.sendall(b"\x00\x00\x00\x05hello")
    pause()


def endless(child: FakeChild, number: int, words: list[str]) -> None:
    child.socket.sendall(b"\xff\xff\xff\xff")
    pause()


def complain(child: FakeChild, number: int, words: list[str]) -> None:
    """A megabyte on stderr, without a line's end."""
    sys.stderr.write("y" * (1 << 20))
    sys.stderr.flush()
    say(child, number, ["heard"])


def where(child: FakeChild, number: int, words: list[str]) -> None:
    say(child, number, [os.environ["TMPDIR"]])


BEHAVIOURS: dict[str, Callable[[FakeChild, int, list[str]], None]] = {
    "flood": flood,
    "wait": wait,
    "go": go,
    "pings": pings,
    "die": die,
    "killed": be_killed,
    "fatal": fatal,
    "hang": hang,
    "long": long,
    "leave": leave,
    "garbage": garbage,
    "endless": endless,
    "complain": complain,
    "where": where,
}


if __name__ == "__main__":
    place = sys.argv.index("--fd")
    FakeChild(socket.socket(fileno=int(sys.argv[place + 1])), sys.argv[1:place]).live()
