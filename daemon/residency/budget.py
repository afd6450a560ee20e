"""The ledger of memory, in bytes: what each model needs, holds and may take, and who goes for whom. Plain arithmetic;
decides, moves nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .. import protocol

RESERVED_TOKENS = 4096
UNKNOWN_CACHE_SHARE = 0.1
MINIMUM_RESERVE = 64 << 20
WIRED_SHARE = 7 / 8
NEAR_LIMIT = 3 / 4


def before_load(file_bytes: int, process: int) -> int:
    """What a model will take, known from its files alone: its process, the weights, and a reserve for caches."""
    return process + file_bytes + max(MINIMUM_RESERVE, int(file_bytes * UNKNOWN_CACHE_SHARE))


def after_load(loaded: protocol.Loaded, process: int) -> int:
    """The process, the weights, and caches for RESERVED_TOKENS tokens."""
    tokens = min(loaded.context_length, RESERVED_TOKENS)
    return process + loaded.weight_bytes + max(MINIMUM_RESERVE, loaded.kv_bytes_per_token * tokens)


def held(backend: Literal["metal", "cuda", "cpu"], resident: int, process: int, tensors: int) -> int:
    """What a model's process holds: `resident` is the system's figure, `tensors` MLX's, `process` from before it.

    A GPU's memory is no part of what is resident. Metal's is the host's, and may or may not be part of it.
    """
    if backend == "cuda":
        return resident + tensors
    return max(resident, process + tensors) if backend == "metal" or not resident else resident


def wired_bound(limit: int, configured: int | None, weights: int) -> int:
    """What of all weights together Metal may keep resident when a model with so many bytes of them comes.

    As configured, within what models may use. Without a setting nothing is wired but a model that alone comes near the
    limit: macOS would page such a one out between requests, which costs tens of times the speed, while others stay in
    memory anyway, and several processes with all their memory wired have brought macOS down (mlx's issue 3186). An
    eighth of the limit is left even then: caches and what a step computes are never wired.
    """
    if configured is not None:
        return min(configured, limit)
    return int(limit * WIRED_SHARE) if weights >= limit * NEAR_LIMIT else 0


def wired(bound: int, weights: int, others: Iterable[int]) -> int:
    """What of a model's weights Metal may keep resident: with the others' it stays within the bound."""
    return max(0, min(weights, bound - sum(others)))


@dataclass(frozen=True)
class Account:
    """One model's line in the ledger. `needs`: what it cannot do without; `holds`: what its process has now. A `pinned`
    one makes room for nobody."""

    key: str
    name: str
    kind: protocol.Kind
    needs: int
    holds: int = 0
    last_used: float = 0.0
    idle: bool = True
    settled: bool = True
    closing: bool = False
    pinned: bool = False

    @property
    def may_go(self) -> bool:
        """Whether it can be put out now."""
        return self.idle and self.settled and not self.pinned

    @property
    def counts(self) -> int:
        return max(self.needs, self.holds)


@dataclass(frozen=True)
class Decision:
    """For one newcomer. `admit`: there is room now; `wait`: there will be when those on their way out are gone;
    `put_out`: there will be when these go; `blocked`: those who stay are busy."""

    action: Literal["admit", "wait", "put_out", "blocked"]
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ledger:
    """`limit`: for all models together, their processes and the spare one; `process`: what one holds before its model
    comes; `maxima`: how many models of each kind."""

    limit: int
    process: int
    maxima: Mapping[protocol.Kind, int]

    def refusal(self, newcomer: Account, present: Sequence[Account] = ()) -> str | None:
        """The sentence for a model that has no room even alone, or beside those that are pinned."""
        if newcomer.needs > self.limit:
            return (
                f"model {newcomer.name!r} needs about {_size(newcomer.needs)}, of which its process takes "
                f"{_size(self.process)}, and {_size(self.limit)} may be used: use a smaller or quantized model, or "
                "raise models.memory_limit"
            )
        pinned = [one for one in present if one.pinned and not one.closing]
        if not self._kind_fits(newcomer, pinned):
            names = ", ".join(one.name for one in pinned if one.kind == newcomer.kind)
            return (
                f"model {newcomer.name!r} has no place beside what is pinned ({names}): raise "
                f"cache.max_{newcomer.kind}_models, or unload one of them"
            )
        if not self._bytes_fit(newcomer, pinned):
            names, held = ", ".join(one.name for one in pinned), sum(one.counts for one in pinned)
            return (
                f"model {newcomer.name!r} needs about {_size(newcomer.needs)}, and of {_size(self.limit)} what is "
                f"pinned ({names}) takes {_size(held)}: unload one of them, or raise models.memory_limit"
            )
        return None

    def decide(self, newcomer: Account, present: Sequence[Account], promised: Sequence[Account]) -> Decision:
        """`present`: who has memory; `promised`: earlier newcomers for whom somebody is on the way out."""
        if self._fits(newcomer, [*present, *promised]):
            return Decision("admit")
        staying = [one for one in present if not one.closing]
        if self._fits(newcomer, [*staying, *promised]):
            return Decision("wait")
        idle = self.victims(newcomer, staying, promised, [one for one in staying if one.may_go])
        return Decision("put_out", idle) if idle else Decision("blocked")

    def victims(
        self,
        newcomer: Account,
        staying: Iterable[Account],
        promised: Iterable[Account],
        candidates: Iterable[Account],
    ) -> tuple[str, ...]:
        """The keys of those who must go, last used longest ago first; none when all candidates are not enough."""
        left = [*staying, *promised]
        chosen = []
        remaining = list(candidates)
        while not self._fits(newcomer, left):
            kind_full = not self._kind_fits(newcomer, left)
            helping = [one for one in remaining if not kind_full or one.kind == newcomer.kind]
            if not helping:
                return ()
            victim = min(helping, key=lambda one: one.last_used)
            remaining.remove(victim)
            left.remove(victim)
            chosen.append(victim.key)
        return tuple(chosen)

    def _fits(self, newcomer: Account, others: Sequence[Account]) -> bool:
        return self._kind_fits(newcomer, others) and self._bytes_fit(newcomer, others)

    def _kind_fits(self, newcomer: Account, others: Sequence[Account]) -> bool:
        return sum(one.kind == newcomer.kind for one in others) < self.maxima[newcomer.kind]

    def _bytes_fit(self, newcomer: Account, others: Sequence[Account]) -> bool:
        return newcomer.needs + sum(one.counts for one in others) <= self.limit

    def spare_fits(self, accounts: Iterable[Account]) -> bool:
        """Whether there is room for a process that waits for its model."""
        return sum(one.counts for one in accounts) + self.process <= self.limit

    def shares(self, accounts: Sequence[Account]) -> dict[str, int]:
        """What each may take: what it needs, what it holds beyond that, and an equal part of what is left over. Their
        sum, with the spare process where it fits, is the limit at most."""
        free = self.limit - sum(one.needs for one in accounts)
        beyond = {one.key: one.counts - one.needs for one in accounts}
        if sum(beyond.values()) > free:
            shrink = max(0, free) / sum(beyond.values())
            beyond = {key: int(more * shrink) for key, more in beyond.items()}
        free -= sum(beyond.values())
        if free >= self.process:
            free -= self.process
        part = max(0, free) // max(1, len(accounts))
        return {one.key: one.needs + beyond[one.key] + part for one in accounts}


def _size(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"
