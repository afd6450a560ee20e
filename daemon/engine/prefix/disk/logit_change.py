"""What becomes of a model's logits where its prompt comes from files in 8 bits: measured, for users to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache

from ..layers import Parts, cut, rebuild, snapshot
from .block_bytes import flat, view
from .eight_bits import pack, unpack
from .tensor import Tensor

_FOLLOWING = 8
_LEAST, _MOST, _SECONDS = 32, 256, 0.25
TEXT = (
    "A river begins where rain that has sunk into the hills comes out again. At first it is narrow enough to step "
    "over, and it runs fast, because the ground is steep. Further down it grows slower and wider, takes in other "
    "streams, and lays down the sand and mud that it has carried. People have built towns on such land since they "
    "began to farm: it is flat, it is fertile, and goods can be moved on the water. The same river that feeds them "
    "floods them now and then, so they raise banks, dig channels, and keep records of how high it stood. 1342, 1658, "
    "1910: the marks on the bridge are still there. "
)


@dataclass(frozen=True)
class LogitChange:
    """Over the logits of `positions` tokens after a prompt of `tokens`: the largest and the mean difference, the mean
    of KL(exact, packed) in nats, and at how many of them the likeliest token is another one."""

    tokens: int
    positions: int
    most: float
    mean: float
    divergence: float
    others: int

    def __str__(self) -> str:
        figures = f"logits_most={self.most:.3g} logits_mean={self.mean:.3g} kl={self.divergence:.2g}"
        return f"{figures} other_likeliest={self.others}/{self.positions} tokens={self.tokens}"


def sample(tokenizer: Any, rate: float, rows: int) -> list[int]:
    """Tokens of a text for which a device that reads `rate` of them a second takes a moment."""
    count = int(min(_MOST, max(_LEAST, rate * _SECONDS))) + _FOLLOWING
    found: list[int] = [token for token in tokenizer(TEXT)["input_ids"] if token < rows]
    while found and len(found) < count:
        found += found
    return found[:count]


def measure(network: Any, tokens: Sequence[int], following: int = _FOLLOWING) -> LogitChange | None:
    """The last `following` tokens are read once after a prompt as it was computed, and once after the same in 8 bits.
    None where nothing of it is packed. Caches must be such that can be kept."""
    length = len(tokens) - following
    if length < 1:
        return None
    caches = make_prompt_cache(network)
    mx.eval(network(mx.array([tokens[:length]]), cache=caches))
    parts = cut(caches, 0, 0, length)
    if parts is None or not any(parts):
        return None
    states = snapshot(caches, 0, length)
    logits = []
    for one in (parts, packed(parts)):
        caches = make_prompt_cache(network)
        rebuild(caches, [([one], states)], length)
        logits.append(np.array(network(mx.array([tokens[length:]]), cache=caches).astype(mx.float32))[0])
    exact, other = (_log_softmax(one.astype(np.float64)) for one in logits)
    difference = np.abs(logits[0] - logits[1])
    return LogitChange(
        tokens=length,
        positions=following,
        most=float(difference.max()),
        mean=float(difference.mean()),
        divergence=float((np.exp(exact) * (exact - other)).sum(axis=-1).mean()),
        others=int((exact.argmax(axis=-1) != other.argmax(axis=-1)).sum()),
    )


def packed(parts: Parts) -> Parts:
    """These columns as they come back from a file in 8 bits."""
    return tuple(None if pair is None else (_packed(pair[0]), _packed(pair[1])) for pair in parts)


def _packed(array: mx.array) -> mx.array:
    tensor = Tensor(str(array.dtype).rpartition(".")[2], tuple(array.shape))
    group, stored = pack(tensor, view(flat(array)))
    if not group:
        return array
    target = np.empty((1, tensor.nbytes), np.uint8)
    unpack(tensor, group, np.frombuffer(stored, np.uint8), target)
    return mx.array(target[0]).view(array.dtype).reshape(array.shape)


def _log_softmax(logits: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
