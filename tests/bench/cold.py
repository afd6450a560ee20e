"""Measures a cold model: from a request to its first token, beside reading its bytes and one prefill.

usage: cold.py [--shape tiny | --model FOLDER] [--rounds 5] [--against CHECKOUT] [--swap FOLDER] [--completions]

Each round the model is unloaded and the next spare child is let finish its imports; then a request comes. `cold`: until
its first token. `read`: its files, read from the page cache. `prefill`: until the first token of a prompt as long that
comes to the loaded model. `ratio`: cold / (read + prefill). `cpu`: what all processes of the daemon took of the
processor until the first token, in seconds, the next spare's imports not counted as far as they begin later;
`cpu ratio`: that to the processor's seconds of the prefill and of reading the files, which others at work do not change
as they do the clock.
`--against`: the daemon of another checkout, in turns. `--swap`: two models in turns in a daemon that keeps one, so that
each request puts the other out; tells the memory of all processes after each round. `--completions`: by
/v1/completions, for models without a chat template.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import servers
from load import text
from run import checkpoint, checkpoint_options, trees

QUIET_SECONDS = 1.0
OTHER = "local/other"


@dataclass(frozen=True)
class Cold:
    """Seconds of one round; `cpu` and `prefill_cpu` of the processor, and so is `read_cpu`."""

    cold: float
    cpu: float
    prefill: float
    prefill_cpu: float
    read: float
    read_cpu: float

    @property
    def ratio(self) -> float:
        return self.cold / (self.read + self.prefill)

    @property
    def cpu_ratio(self) -> float:
        return self.cpu / (self.read_cpu + self.prefill_cpu)


def first_token(
    server: servers.Server, model: str, prompt: str, first: Callable[[], None] = lambda: None, *, chat: bool = True
) -> float:
    """Seconds until the first event with text of a streamed answer; `first` is called then. Raises RuntimeError where
    it is refused."""
    given = {"messages": [{"role": "user", "content": prompt}]} if chat else {"prompt": prompt}
    body = {"model": model, "max_tokens": 2, "temperature": 0} | given
    path = "/v1/chat/completions" if chat else "/v1/completions"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    began = time.perf_counter()
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body | {"stream": True}), headers)
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {response.read(300)!r}")
        seconds = None
        for line in response:
            if seconds is None and line.startswith(b"data: {"):
                choices = json.loads(line[6:])["choices"]
                if choices and (choices[0]["delta"].get("content") if chat else choices[0]["text"]):
                    seconds = time.perf_counter() - began
                    first()
    return time.perf_counter() - began if seconds is None else seconds


def read(folder: Path) -> float:
    """Seconds that it takes to read a folder's files."""
    buffer = bytearray(1 << 22)
    began = time.perf_counter()
    for path in folder.iterdir():
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.perf_counter() - began


def processes(server: servers.Server) -> list[psutil.Process]:
    daemon = psutil.Process(server.process.pid)
    return [daemon, *daemon.children(recursive=True)]


def cpu(server: servers.Server) -> float:
    """Seconds of the processor that the daemon's processes have had, those that have ended too."""
    seconds = 0.0
    for process in processes(server):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            seconds += times.user + times.system
    return seconds


def memory(server: servers.Server) -> list[float]:
    """MB that each process has to itself: the daemon's first, then the largest."""
    sizes = []
    for process in processes(server):
        with contextlib.suppress(psutil.Error):
            sizes.append(process.memory_full_info().uss / 1e6)
    return [sizes[0], *sorted(sizes[1:], reverse=True)]


def rest(server: servers.Server) -> None:
    """Until the daemon's processes do nothing: the spare child has its imports done."""
    before, since = cpu(server), time.monotonic()
    while time.monotonic() - since < QUIET_SECONDS:
        time.sleep(0.1)
        now = cpu(server)
        if now - before > 0.02:
            since = time.monotonic()
        before = now


def timed(server: servers.Server, prompt: str, *, chat: bool = True) -> tuple[float, float]:
    """Seconds until a first token, by the clock and of the processor."""
    before, used = cpu(server), 0.0

    def first() -> None:
        nonlocal used
        used = cpu(server) - before

    return first_token(server, servers.MODEL, prompt, first, chat=chat), used


def rounds(server: servers.Server, folder: Path, words: int, *, chat: bool) -> Iterator[Cold]:
    source = random.Random(1)
    while True:
        rest(server)
        own = time.process_time()
        reading = read(folder)
        own = time.process_time() - own
        cold, used = timed(server, text(source, words), chat=chat)
        warm = []
        for _ in range(3):
            rest(server)
            warm.append(timed(server, text(source, words), chat=chat))
        prefill, prefill_cpu = (statistics.median(values) for values in zip(*warm, strict=True))
        servers.command(server, "unload", servers.MODEL)
        yield Cold(cold, used, prefill, prefill_cpu, reading, own)


def swap(server: servers.Server, words: int, count: int) -> None:
    source = random.Random(2)
    for number in range(count):
        for model in (servers.MODEL, OTHER):
            rest(server)
            cold = first_token(server, model, text(source, words))
            rest(server)
            sizes = " ".join(f"{size:.1f}" for size in memory(server))
            print(
                f"round {number + 1:2d} {model:12s} first token {cold:6.2f} s, MB of each process: {sizes}", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    checkpoint_options(parser)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--words", type=int, default=100, help="of each prompt")
    parser.add_argument("--against", type=Path, help="another checkout, whose daemon is measured in turns")
    parser.add_argument("--swap", type=Path, metavar="FOLDER", help="a second checkpoint")
    parser.add_argument("--completions", action="store_true")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(checkpoint(arguments))
        if arguments.swap is not None:
            server = stack.enter_context(servers.ours(folder, environ={"MLX_SERVE_CACHE_MAX_LLM_MODELS": "1"}))
            servers.command(server, "pull", str(arguments.swap), "--name", OTHER)
            swap(server, arguments.words, arguments.rounds)
            return
        running = [stack.enter_context(servers.ours(folder, tree=tree)) for tree in trees(arguments)]
        chat = not arguments.completions
        each = [(server.name, rounds(server, folder, arguments.words, chat=chat)) for server in running]
        seen: dict[str, list[Cold]] = {name: [] for name, _ in each}
        for _ in range(arguments.rounds):
            for name, made in each:
                one = next(made)
                seen[name].append(one)
                print(
                    f"{name:12s} cold {one.cold:6.2f} s, cpu {one.cpu:6.2f} s, read {one.read:5.2f}, "
                    f"prefill {one.prefill:5.2f}, ratio {one.ratio:5.2f}, cpu ratio {one.cpu_ratio:5.2f}",
                    flush=True,
                )
    for name, all_ in seen.items():
        parts = {
            part: statistics.median(getattr(one, part) for one in all_)
            for part in ("cold", "cpu", "read", "prefill", "prefill_cpu", "ratio", "cpu_ratio")
        }
        print(f"{name}: medians " + ", ".join(f"{part} {value:.2f}" for part, value in parts.items()))


if __name__ == "__main__":
    main()
