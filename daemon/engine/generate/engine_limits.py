"""How much one engine does at a time, and holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """`max_batch` sequences decode at once; `tokens_per_step` of prefill beside decoding; `memory` bytes for caches.
    `prefixes` bytes of those for what was read before: None for half of them, or where `memory` is None for none."""

    max_batch: int
    tokens_per_step: int
    memory: int | None = None
    prefixes: int | None = None

    @property
    def most_prefixes(self) -> int:
        """Bytes for what was read before."""
        half = (self.memory or 0) // 2
        return half if self.prefixes is None else self.prefixes if self.memory is None else min(self.prefixes, half)
