"""Two agents whose sessions churn for an hour through a prefix cache that holds a tenth of them.

    python tests/bench/soak.py [--minutes 60] [--share 0.25] [--mb 4] [--conversations 6] [--check 8]

A real daemon with a tiny model, its prefixes limited to so many MiB in memory and as many on disk. Each agent has
several conversations that grow by turns, are edited in the middle, broken off in the middle of an answer and asked
again, and give way to new ones. Every eighth answer is compared with that of a second daemon that reuses nothing.
Pauses keep all processes together at `--share` of one core in the mean. Ends with status 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import make_model
import psutil
import servers
from load import text
from soak_watch import Sample, Watch, faults, growths, processor_seconds

from mlx_serve.daemon import prefix_folder

SHAPE = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "intermediate_size": 256,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 2048,
}
LONGEST = 5200  # words of a conversation, of about a token each; then a new one takes its place
WARM = 0.15  # of the time
EVERY = 5.0  # seconds between two samples
MEMORY = "800MB"  # for the model and its process, so that free buffers do not hide what leaks
TIE = 1e-3  # nats between the two likeliest tokens, where the order of sums decides


def checkpoint(folder: Path) -> None:
    """A tiny model whose every answer depends on all of its prompt: attention is sharp, and has weight."""
    import mlx.core as mx

    make_model.SHAPES["soak"] = SHAPE
    make_model.make_model(folder, "soak", dtype="float32")
    file = folder / "model.safetensors"
    weights = mx.load(str(file))
    assert isinstance(weights, dict)
    for name in weights:
        if name.endswith(("q_norm.weight", "k_norm.weight")):
            weights[name] = weights[name] * 2
        if name.endswith(("v_proj.weight", "o_proj.weight")):
            weights[name] = weights[name] * 3
    mx.eval(weights)
    mx.save_safetensors(str(file), weights, metadata={"format": "mlx"})


@dataclass
class Tally:
    """What the agents have done, and what came of it."""

    turns: int = 0
    edits: int = 0
    broken_off: int = 0
    renewed: int = 0
    checked: int = 0
    ties: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    answered_tokens: int = 0
    longest_prompt: int = 0
    wrong: list[str] = field(default_factory=list)


class BrokenOff(Exception):
    """The agent has hung up."""


class Clients:
    """Asks both daemons; `budget` seconds of processor time may have passed for each second."""

    def __init__(
        self, session: aiohttp.ClientSession, daemon: servers.Server, plain: servers.Server, budget: float
    ) -> None:
        self._session = session
        self._daemon = daemon
        self._plain = plain
        self._budget = budget
        self._began = time.monotonic()
        self._spent = self.processor
        self.tally = Tally()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def processor(self) -> float:
        return processor_seconds((os.getpid(), self._daemon.process.pid, self._plain.process.pid))

    @property
    def share(self) -> float:
        """Of one core, in the mean."""
        return (self.processor - self._spent) / max(self.seconds, 1.0)

    async def pause(self, source: random.Random) -> None:
        await asyncio.sleep(source.uniform(0.2, 1.0))
        while self.share > self._budget:
            await asyncio.sleep(1.0)

    async def answer(self, messages: list[dict[str, str]], tokens: int, most: int | None) -> str:
        """Streamed. Raises BrokenOff after `most` parts, None: never, and RuntimeError where anything is wrong."""
        body = {"model": servers.MODEL, "messages": messages, "max_tokens": tokens, "temperature": 0}
        body |= {"ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
        said: list[str] = []
        usage: dict[str, Any] | None = None
        reason = None
        async with self._session.post(f"{self._daemon.url}/v1/chat/completions", json=body) as response:
            if response.status != 200:
                raise RuntimeError(f"status {response.status}: {(await response.text())[:200]}")
            if most == 0:
                raise BrokenOff
            async for line in response.content:
                if not line.startswith(b"data: {"):
                    continue
                event = json.loads(line[6:])
                if "error" in event:
                    raise RuntimeError(str(event["error"])[:200])
                usage = event.get("usage") or usage
                for choice in event.get("choices") or ():
                    reason = choice.get("finish_reason") or reason
                    said.append((choice.get("delta") or {}).get("content") or "")
                if most is not None and len(said) > most:
                    raise BrokenOff
        if reason != "length" or usage is None or usage["completion_tokens"] != tokens:
            raise RuntimeError(f"the stream ended with {reason} and {usage}")
        self.tally.turns += 1
        self.tally.prompt_tokens += usage["prompt_tokens"]
        self.tally.longest_prompt = max(self.tally.longest_prompt, usage["prompt_tokens"])
        self.tally.cached_tokens += usage["prompt_tokens_details"]["cached_tokens"]
        self.tally.answered_tokens += tokens
        return "".join(said)

    async def check(self, messages: list[dict[str, str]], tokens: int, said: str) -> None:
        """Whether the daemon that reuses nothing says the same."""
        body = {"model": servers.MODEL, "messages": messages, "max_tokens": tokens, "temperature": 0}
        body |= {"ignore_eos": True, "logprobs": True, "top_logprobs": 2}
        async with self._session.post(f"{self._plain.url}/v1/chat/completions", json=body) as response:
            document = await response.json()
        if response.status != 200:
            raise RuntimeError(f"status {response.status} without reuse: {document}")
        (choice,) = document["choices"]
        self.tally.checked += 1
        if choice["message"]["content"] == said:
            return
        parts = choice["logprobs"]["content"]
        pairs = zip(choice["message"]["content"], said, strict=False)
        length = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        before = 0
        for part in parts:
            before += len(part["token"])
            if before > length:
                break
        gap = part["top_logprobs"][0]["logprob"] - part["top_logprobs"][1]["logprob"]
        if gap < TIE:
            self.tally.ties += 1
        else:
            self.tally.wrong.append(f"another answer after {length} characters, where the gap is {gap:.4f} nats")


class Agent:
    """One client with its conversations: all begin with the same instructions."""

    def __init__(self, number: int, clients: Clients, arguments: argparse.Namespace) -> None:
        self._source = random.Random(number)
        self._clients = clients
        self._every = arguments.check
        self._instructions = f"agent {number} {text(self._source, 300)}"
        self._conversations = [self._new() for _ in range(arguments.conversations)]
        self._turns = 0

    def _new(self) -> list[dict[str, str]]:
        return [{"role": "system", "content": self._instructions}]

    async def turn(self) -> None:
        source, tally = self._source, self._clients.tally
        place = source.randrange(len(self._conversations))
        messages = self._conversations[place]
        if sum(len(one["content"].split()) for one in messages) > LONGEST:
            messages = self._conversations[place] = self._new()
            tally.renewed += 1
        if len(messages) > 4 and source.random() < 0.1:
            edited = source.randrange(1, len(messages) - 1, 2)
            messages[edited] = {"role": "user", "content": text(source, source.randint(10, 200))}
            if source.random() < 0.5:
                del messages[edited + 1 :]
            tally.edits += 1
        if messages[-1]["role"] != "user":
            messages.append({"role": "user", "content": text(source, source.choice((20, 60, 150, 400, 900)))})
        tokens = source.choice((8, 16, 32, 64))
        most = source.choice((0, 1, 4)) if source.random() < 0.15 else None
        try:
            said = await self._clients.answer(messages, tokens, most)
        except BrokenOff:  # and asks the same again, at some time
            tally.broken_off += 1
            return
        self._turns += 1
        if self._turns % self._every == 0:
            await self._clients.check(messages, tokens, said)
        messages.append({"role": "assistant", "content": said or "nothing"})


async def sensitive(clients: Clients) -> None:
    """Raises RuntimeError where answers do not depend on the beginning of a long prompt, so that they show nothing."""
    words = text(random.Random(0), 1200)
    answers = []
    for first in ("class", "return"):
        messages = [{"role": "user", "content": f"{first} {words}"}]
        answers.append(await clients.answer(messages, 16, None))
        await clients.check(messages, 16, answers[-1])
    if answers[0] == answers[1]:
        raise RuntimeError("the model of the soak answers without regard to what came first")


async def soak(
    daemon: servers.Server, plain: servers.Server, arguments: argparse.Namespace
) -> tuple[Tally, list[Sample], float, dict[str, float]]:
    """All of it; the share of one core and the last figures of /metrics at the end."""
    timeout = aiohttp.ClientTimeout(total=600)
    samples: list[Sample] = []
    async with aiohttp.ClientSession(timeout=timeout) as session:
        clients = Clients(session, daemon, plain, arguments.share)
        await sensitive(clients)
        rows = json.loads((await asyncio.to_thread(servers.command, daemon, "ps", "--json")).stdout)["models"]
        assert daemon.home is not None
        watch = Watch(daemon.url, daemon.process.pid, rows[0]["pid"], prefix_folder.root(daemon.home))
        until = 60 * arguments.minutes
        tally = clients.tally

        async def work(number: int) -> None:
            agent = Agent(number, clients, arguments)
            while clients.seconds < until:
                try:
                    await agent.turn()
                except (RuntimeError, aiohttp.ClientError, TimeoutError, ValueError) as error:
                    tally.wrong.append(f"{type(error).__name__}: {error}"[:300])
                await clients.pause(agent._source)

        async def look() -> None:
            shown = 0.0
            while clients.seconds < until:
                samples.append(await asyncio.to_thread(watch.sample, clients.seconds))
                if clients.seconds - shown >= 60:
                    shown = clients.seconds
                    print(f"{shown:5.0f} s  {tally.turns} turns, {tally.checked} checked, {samples[-1]}", flush=True)
                await asyncio.sleep(EVERY)

        with contextlib.suppress(psutil.NoSuchProcess):
            await asyncio.gather(work(1), work(2), look())
        if rows[0]["pid"] not in {one.pid for one in psutil.Process(daemon.process.pid).children()}:
            tally.wrong.append("the model's process has ended")
        return tally, samples, clients.share, watch.figures


def complaints(home: Path) -> list[str]:
    """What the daemon has logged as a warning or worse."""
    found = []
    for path in (home / "logs").glob("*.log"):
        for line in path.read_text().splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if record.get("level") in ("WARNING", "ERROR", "CRITICAL"):
                    found.append(f"logged: {record['message']}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--share", type=float, default=0.25, help="of one core")
    parser.add_argument("--mb", type=int, default=4, help="MiB of prefixes in memory, and as many on disk")
    parser.add_argument("--conversations", type=int, default=6, help="of each agent")
    parser.add_argument("--check", type=int, default=8, help="every so manieth answer is compared")
    arguments = parser.parse_args()
    limit = arguments.mb << 20
    small = {"MLX_SERVE_CACHE_PREFIX_CACHE_MB": str(arguments.mb), "MLX_SERVE_CACHE_PREFIX_DISK_MB": str(arguments.mb)}
    small["MLX_SERVE_MODELS_MEMORY_LIMIT"] = MEMORY
    none = {"MLX_SERVE_CACHE_PREFIX_CACHE_MB": "0", "MLX_SERVE_CACHE_PREFIX_DISK_MB": "0"}
    with tempfile.TemporaryDirectory(prefix="mlx-serve-bench-model-") as made:
        checkpoint(Path(made))
        with servers.ours(Path(made), environ=small) as daemon, servers.ours(Path(made), environ=none) as plain:
            tally, samples, share, figures = asyncio.run(soak(daemon, plain, arguments))
            assert daemon.home is not None
            wrong = tally.wrong + complaints(daemon.home)
    warm = 60 * arguments.minutes * WARM
    wrong += faults(samples, limit, limit, warm)
    report = {
        "agents": {key: value for key, value in asdict(tally).items() if key != "wrong"},
        "limit": limit,
        "most in memory": max(one.prefixes for one in samples),
        "most in files": max(one.files for one in samples),
        "most of the share": max(one.held / one.share for one in samples),
        "share of a core": round(share, 3),
        "samples": len(samples),
        "after warm-up": {name: asdict(one) for name, one in growths(samples, warm).items()},
        "figures": {name: value for name, value in figures.items() if name.startswith("prefix")},
        "wrong": wrong,
    }
    print(json.dumps(report, indent=2))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
