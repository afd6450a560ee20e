"""A daemon that is killed again and again in the middle of its work, and what must hold each time it comes back."""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.operations import Operation, PulledRepository, blobs_of
from e2e.pulling_daemon import PullingDaemon, environment, kept
from fakes.hub import faults
from fakes.hub.server import Hub
from support.forked_daemons import JOB, SYNCS, ForkedDaemons
from support.ports import free_port

SLACK = 2_400_000
"""Bytes that may be written when the kill comes and not yet noted: a buffer, and a little more."""


@dataclass
class KillSweep:
    """`repositories[0]` is what gets quantized, by `job` or the real one. `weights`: how often to pull, quantize, copy,
    remove and sweep. All is drawn from the seed; only the moments, at most `longest` seconds, are up to the clock."""

    home: Path
    hub: Hub
    forks: ForkedDaemons
    repositories: list[PulledRepository]
    seed: int
    job: str | None = None
    weights: tuple[int, ...] = (55, 12, 10, 15, 8)
    longest: float = 0.4
    rate: float = 30e6
    names: dict[str, str] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    before: set[str] = field(default_factory=set)
    begun: int = 0
    twice: int = 0
    finished: int = 0
    killed: int = 0
    quantize_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.port = free_port()
        more = {SYNCS: "no"} | ({JOB: self.job} if self.job else {})
        self.environ = environment(self.hub, self.home, **more)

    @property
    def store(self) -> Path:
        return self.home / "models"

    def run(self, rounds: int) -> None:
        """Raises AssertionError with the seed and the last rounds in it."""
        for pulled in self.repositories:
            self.hub.fault(f"*/{pulled.name}/*.safetensors", faults.drip(self.rate))
        try:
            self._measure()
            for _ in range(rounds):
                self._round()
            self._finish()
        except BaseException as error:
            error.add_note(f"seed {self.seed}; the last rounds: " + "; ".join(self.history[-12:]))
            raise

    def _measure(self) -> None:
        """How long things take on this machine today."""
        with self._daemon() as pulling:
            for pulled in self.repositories:
                began = time.monotonic()
                pulling.pull(pulled.name)
                pulled.seconds = min(self.longest, time.monotonic() - began)
                if pulled is self.repositories[0]:
                    began = time.monotonic()
                    quantize = Operation("", "POST", "/quantize", {"name": pulled.name, "bits": 4}, 0.0)
                    quantize.begin(pulling.daemon)
                    said = quantize.outcome()
                    assert said["status"] == "success", said
                    self.quantize_seconds = min(self.longest, time.monotonic() - began)
                for name in pulling.names():
                    pulling.daemon.control("DELETE", f"/models/{name}")

    # one round

    def _round(self) -> None:
        with self._daemon() as pulling:
            self._check(pulling)
            operations = [self._draw()]
            if self.random.random() < 0.3:
                operations.append(self._draw())
                if operations[0].takes & operations[1].takes:  # the second one would find a copy by its repository
                    del operations[1]
            sent = {
                id(operation): pulling.sent(operation.pulled.repository) for operation in operations if operation.pulled
            }
            here = {pulled.name: pulled.look(self.store) for pulled in self.repositories}
            begun = {pulled.name: pulled.begun(self.store) for pulled in self.repositories}
            self.before = blobs_of(self.store)
            for operation in operations:
                operation.begin(pulling.daemon)
            moment = self.random.uniform(0, max(operation.seconds for operation in operations))
            self.history.append(f"{' and '.join(operation.what for operation in operations)}, {moment * 1000:.0f} ms")
            time.sleep(moment)
            pulling.daemon.process.kill()
            pulling.daemon.process.wait()
            self.killed += 1
        self.adds: set[str] = set()
        self.takes: set[str] = set()
        self.sure: set[str] = set()
        gone = frozenset[str]().union(*(operation.takes for operation in operations))
        for pulled in self.repositories:
            if any(self.origins.get(name) == pulled.name for name in gone):
                pulled.present = 0  # who removes the last of it wants its room
        for operation in operations:
            said = operation.outcome()
            done = operation.succeeded(said)
            self.finished += done
            self.history[-1] += " done" if done else ""
            if "error" in said:
                self._check_error(operation, said["error"])
            self.adds |= operation.adds
            self.takes |= operation.takes
            if done and len(operations) == 1:
                self.sure = set(operation.adds) if len(operation.adds) == 1 else set()
            if operation.pulled is not None:
                self._check_kept(operation.pulled, done)
            if operation.pulled is not None and done and len(operations) == 1:
                fetched = pulling.sent(operation.pulled.repository) - sent[id(operation)]
                self._check_refetched(
                    operation.pulled, fetched, here[operation.pulled.name], begun[operation.pulled.name]
                )

    def _check_refetched(self, pulled: PulledRepository, fetched: int, here: int, begun: int) -> None:
        """What was on disk is not fetched again, but for what was being written when the kill came, now and then."""
        twice = max(0, fetched - (pulled.size - here))
        assert twice <= SLACK, (pulled.name, fetched, here)
        self.twice += twice
        self.begun += begun

    def _check_kept(self, pulled: PulledRepository, done: bool) -> None:
        """Nothing is lost."""
        if done:
            pulled.present = 0
        else:
            present = pulled.look(self.store)
            assert present >= pulled.present, (pulled.name, "lost", pulled.present - present)
            pulled.present = max(pulled.present, pulled.look(self.store, self.before))
        if done or pulled.name in _origins(self.store):
            # What others had begun of the same files was finished for this one, and goes with it.
            for other in self.repositories:
                if other is not pulled:
                    other.present = min(other.present, other.look(self.store, blobs_of(self.store)))

    def _check_error(self, operation: Operation, error: dict[str, Any]) -> None:
        """A operation may come at the wrong time; it must not fail in any other way."""
        text = error["message"]
        fine = ("not found", "in use", "being", "stopp", "cannot take the name", "is missing")
        assert any(words in text for words in fine), (operation.what, text)

    def _check(self, pulling: PullingDaemon) -> None:
        """After a restart: every listed model is whole, and the names are those that can be there."""
        rows = pulling.daemon.control("GET", "/models")["models"]
        now = {row["name"]: row["id"] for row in rows}
        if rows:
            assert pulling.complete(), "a listed model is damaged"
        if self.killed:
            stays = {name: id for name, id in self.names.items() if name not in self.takes | self.adds}
            assert stays.items() <= now.items(), (self.names, now)
            assert now.keys() - self.names.keys() <= self.adds, (self.names, now)
            assert self.sure <= now.keys(), ("said to be done and not there", self.sure, now)
        rubbish = [path.name for path in (self.store / "partial").iterdir() if path.name.endswith(".tmp")]
        assert not rubbish, rubbish
        for pulled in self.repositories:
            found = pulled.look(self.store)
            assert found >= pulled.present, (pulled.name, "lost between two pulls", pulled.present, found)
        self.names = now
        self.origins = _origins(self.store)

    def _finish(self) -> None:
        """With nobody killing, everything ends well, and nothing is left over."""
        self.hub.heal()
        with self._daemon() as pulling:
            self._check(pulling)
            for pulled in self.repositories:
                before, here, begun = (
                    pulling.sent(pulled.repository),
                    pulled.look(self.store),
                    pulled.begun(self.store),
                )
                pulling.pull(pulled.name)
                self._check_refetched(pulled, pulling.sent(pulled.repository) - before, here, begun)
                lacking = kept(pulled.files) - pulling.stored(pulled.files)
                assert not lacking, (pulled.name, lacking)
            unfinished = [
                path.name for path in (self.store / "partial").iterdir() if path.suffix in (".part", ".pieces")
            ]
            assert not unfinished, unfinished
            assert pulling.complete(), "a model is damaged at the end"
            for name in pulling.names():
                pulling.daemon.control("DELETE", f"/models/{name}")
            pulling.daemon.control("POST", "/gc", {})
            assert not pulling.blobs(), ("nothing names these", pulling.blobs())

    # what is done

    def _draw(self) -> Operation:
        draw = self.random
        kind = draw.choices(["pull", "quantize", "copy", "remove", "gc"], self.weights)[0]
        here = sorted(self.names)
        if kind == "pull" or not here or (kind == "quantize" and self.repositories[0].name not in here):
            pulled = draw.choice(self.repositories) if kind == "pull" else self.repositories[0]
            seconds = 1.3 * pulled.seconds * (1 - 0.7 * pulled.present / pulled.size)
            return Operation(
                f"pull {pulled.name}",
                "POST",
                "/pull",
                {"source": pulled.name},
                seconds,
                frozenset([pulled.name]),
                pulled=pulled,
            )
        first = self.repositories[0].name
        if kind == "quantize":
            bits = draw.choice([4, 8])
            body = {"name": first, "bits": bits}
            seconds = 1.3 * self.quantize_seconds
            # Where it is removed first, a copy is what comes from that repository.
            found = {first, *(name for name in here if self.origins.get(name) == first)}
            return Operation(
                "quantize", "POST", "/quantize", body, seconds, frozenset(f"{name}-{bits}bit" for name in found)
            )
        if kind == "gc":
            return Operation("gc", "POST", "/gc", {}, 0.02)
        victim = draw.choice(here)
        if kind == "remove":
            return Operation(f"remove {victim}", "DELETE", f"/models/{victim}", {}, 0.03, takes=frozenset([victim]))
        target = f"copies/{draw.randrange(3)}"
        return Operation(
            f"copy {victim}", "POST", "/copy", {"source": victim, "destination": target}, 0.02, frozenset([target])
        )

    @contextlib.contextmanager
    def _daemon(self) -> Iterator[PullingDaemon]:
        with self.forks.daemon(home=self.home, port=self.port, environ=self.environ) as daemon:
            yield PullingDaemon(self.hub, daemon.ready())


def _origins(store: Path) -> dict[str, str]:
    """Where each installed model comes from, by its name."""
    found = {}
    for ref in (store / "refs").glob("*/*/latest"):
        manifest = json.loads((store / "blobs" / ref.read_text().strip().replace(":", "-")).read_bytes())
        found["/".join(ref.parts[-3:-1])] = manifest["source"]["location"]
    return found


def seed_of_the_day() -> int:
    """Another one each time; MLX_SERVE_CRASH_SEED repeats one."""
    return int(os.environ.get("MLX_SERVE_CRASH_SEED") or random.SystemRandom().randrange(1 << 32))
