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

from e2e.deeds import Deed, Subject, blobs_of
from e2e.pulling import Pulling, environment, kept
from fakes.hub import faults
from fakes.hub.server import Hub
from support.forked_daemons import JOB, SYNCS, ForkedDaemons
from support.live_daemon import free_port

SLACK = 2_400_000
"""Bytes that may be written when the kill comes and not yet noted: a buffer, and a little more."""


@dataclass
class Ordeal:
    """`subjects[0]` is what gets quantized, by `job` or the real one. `weights`: how often to pull, quantize, copy,
    remove and sweep. All is drawn from the seed; only the moments, at most `longest` seconds, are up to the clock."""

    home: Path
    hub: Hub
    forks: ForkedDaemons
    subjects: list[Subject]
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
        for subject in self.subjects:
            self.hub.fault(f"*/{subject.name}/*.safetensors", faults.drip(self.rate))
        try:
            self._learn()
            for _ in range(rounds):
                self._round()
            self._rest()
        except BaseException as error:
            error.add_note(f"seed {self.seed}; the last rounds: " + "; ".join(self.history[-12:]))
            raise

    def _learn(self) -> None:
        """How long things take on this machine today."""
        with self._daemon() as pulling:
            for subject in self.subjects:
                began = time.monotonic()
                pulling.pull(subject.name)
                subject.seconds = min(self.longest, time.monotonic() - began)
                if subject is self.subjects[0]:
                    began = time.monotonic()
                    quantize = Deed("", "POST", "/quantize", {"name": subject.name, "bits": 4}, 0.0)
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
            deeds = [self._deed()]
            if self.random.random() < 0.3:
                deeds.append(self._deed())
            sent = {id(deed): pulling.sent(deed.subject.repository) for deed in deeds if deed.subject}
            here = {subject.name: subject.look(self.store) for subject in self.subjects}
            begun = {subject.name: subject.begun(self.store) for subject in self.subjects}
            self.before = blobs_of(self.store)
            for deed in deeds:
                deed.begin(pulling.daemon)
            moment = self.random.uniform(0, max(deed.seconds for deed in deeds))
            self.history.append(f"{' and '.join(deed.what for deed in deeds)}, {moment * 1000:.0f} ms")
            time.sleep(moment)
            pulling.daemon.process.kill()
            pulling.daemon.process.wait()
            self.killed += 1
        self.adds: set[str] = set()
        self.takes: set[str] = set()
        self.sure: set[str] = set()
        gone = frozenset[str]().union(*(deed.takes for deed in deeds))
        for subject in self.subjects:
            if any(self.origins.get(name) == subject.name for name in gone):
                subject.present = 0  # who removes the last of it wants its room
        for deed in deeds:
            said = deed.outcome()
            done = deed.succeeded(said)
            self.finished += done
            self.history[-1] += " done" if done else ""
            if "error" in said:
                self._expected(deed, said["error"])
            self.adds |= deed.adds
            self.takes |= deed.takes
            if done and len(deeds) == 1:
                self.sure = set(deed.adds)
            if deed.subject is not None:
                self._account(deed.subject, done)
            if deed.subject is not None and done and len(deeds) == 1:
                fetched = pulling.sent(deed.subject.repository) - sent[id(deed)]
                self._weigh(deed.subject, fetched, here[deed.subject.name], begun[deed.subject.name])

    def _weigh(self, subject: Subject, fetched: int, here: int, begun: int) -> None:
        """What was on disk is not fetched again, but for what was being written when the kill came, now and then."""
        twice = max(0, fetched - (subject.size - here))
        assert twice <= SLACK, (subject.name, fetched, here)
        self.twice += twice
        self.begun += begun

    def _account(self, subject: Subject, done: bool) -> None:
        """Nothing is lost."""
        if done:
            subject.present = 0
        else:
            present = subject.look(self.store)
            assert present >= subject.present, (subject.name, "lost", subject.present - present)
            subject.present = max(subject.present, subject.look(self.store, self.before))
        if done or subject.name in _origins(self.store):
            # What others had begun of the same files was finished for this one, and goes with it.
            for other in self.subjects:
                if other is not subject:
                    other.present = min(other.present, other.look(self.store, blobs_of(self.store)))

    def _expected(self, deed: Deed, error: dict[str, Any]) -> None:
        """A deed may come at the wrong time; it must not fail in any other way."""
        text = error["message"]
        fine = ("not found", "in use", "being", "stopp", "cannot take the name", "is missing")
        assert any(words in text for words in fine), (deed.what, text)

    def _check(self, pulling: Pulling) -> None:
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
        for subject in self.subjects:
            found = subject.look(self.store)
            assert found >= subject.present, (subject.name, "lost between two pulls", subject.present, found)
        self.names = now
        self.origins = _origins(self.store)

    def _rest(self) -> None:
        """With nobody killing, everything ends well, and nothing is left over."""
        self.hub.heal()
        with self._daemon() as pulling:
            self._check(pulling)
            for subject in self.subjects:
                before, here, begun = (
                    pulling.sent(subject.repository),
                    subject.look(self.store),
                    subject.begun(self.store),
                )
                pulling.pull(subject.name)
                self._weigh(subject, pulling.sent(subject.repository) - before, here, begun)
                lacking = kept(subject.files) - pulling.stored(subject.files)
                assert not lacking, (subject.name, lacking)
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

    def _deed(self) -> Deed:
        draw = self.random
        kind = draw.choices(["pull", "quantize", "copy", "remove", "gc"], self.weights)[0]
        here = sorted(self.names)
        if kind == "pull" or not here or (kind == "quantize" and self.subjects[0].name not in here):
            subject = draw.choice(self.subjects) if kind == "pull" else self.subjects[0]
            seconds = 1.3 * subject.seconds * (1 - 0.7 * subject.present / subject.size)
            return Deed(
                f"pull {subject.name}",
                "POST",
                "/pull",
                {"source": subject.name},
                seconds,
                frozenset([subject.name]),
                subject=subject,
            )
        first = self.subjects[0].name
        if kind == "quantize":
            bits = draw.choice([4, 8])
            body = {"name": first, "bits": bits}
            seconds = 1.3 * self.quantize_seconds
            return Deed("quantize", "POST", "/quantize", body, seconds, frozenset([f"{first}-{bits}bit"]))
        if kind == "gc":
            return Deed("gc", "POST", "/gc", {}, 0.02)
        victim = draw.choice(here)
        if kind == "remove":
            return Deed(f"remove {victim}", "DELETE", f"/models/{victim}", {}, 0.03, takes=frozenset([victim]))
        target = f"copies/{draw.randrange(3)}"
        return Deed(
            f"copy {victim}", "POST", "/copy", {"source": victim, "destination": target}, 0.02, frozenset([target])
        )

    @contextlib.contextmanager
    def _daemon(self) -> Iterator[Pulling]:
        with self.forks.daemon(home=self.home, port=self.port, environ=self.environ) as daemon:
            yield Pulling(self.hub, daemon.ready())


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
