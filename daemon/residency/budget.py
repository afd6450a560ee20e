"""How much memory models take and may take, in bytes: plain arithmetic, so that every refusal can show its numbers."""

from __future__ import annotations

from dataclasses import dataclass

from .. import protocol

RESERVED_TOKENS = 4096
UNKNOWN_CACHE_SHARE = 0.1
MINIMUM_RESERVE = 64 << 20


def before_load(file_bytes: int) -> int:
    """What a model will take, known from its files alone: the weights, a share for caches, and the process itself."""
    return file_bytes + max(MINIMUM_RESERVE, int(file_bytes * UNKNOWN_CACHE_SHARE))


def after_load(loaded: protocol.Loaded) -> int:
    """Weights and a reserve of caches for RESERVED_TOKENS tokens."""
    tokens = min(loaded.context_length, RESERVED_TOKENS)
    return loaded.weight_bytes + max(MINIMUM_RESERVE, loaded.kv_bytes_per_token * tokens)


@dataclass(frozen=True)
class Budget:
    """`limit` bytes for all models together."""

    limit: int

    def fits(self, wanted: int, used: int) -> bool:
        return wanted + used <= self.limit

    def refusal(self, name: str, wanted: int, used: int) -> str:
        """The sentence for a model that does not fit beside what is in use."""
        beside = f" beside {_gigabytes(used)} in use by busy models" if used else ""
        return (
            f"model {name!r} needs about {_gigabytes(wanted)} and {_gigabytes(self.limit)} may be used{beside}: use a "
            "smaller or quantized model, unload another one, or raise models.memory_limit"
        )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
