"""The state of caches of which nobody knows here how to cut them: kept as a whole, after some tokens.

mlx-lm asks no method for that of its cache classes: `state` leaves out what some of them count beside their arrays, and
`from_state` is not there for others. So the objects themselves are copied, all of a network in one go, so that what
they share stays shared. Arrays are not: MLX copies one when it is changed in place while somebody else holds it. What
this cannot follow (a cache that keeps something outside of itself) is found by a trial.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from .state_graph import Described, describe

_BEGUN, _MORE = 12, 3


class WholeState:
    """What plain caches of one row hold now, after so many `tokens`. `arrays`: all that this takes of memory."""

    def __init__(self, caches: Sequence[Any], tokens: int) -> None:
        copied: dict[int, Any] = {}
        self._caches = deepcopy(list(caches), copied)
        self.tokens = tokens
        self.arrays = [one for one in copied.values() if isinstance(one, mx.array)]

    def caches(self) -> list[Any]:
        """Caches that hold the same, to go on from; this one stays as it is."""
        return deepcopy(self._caches)

    def described(self) -> Described:
        """What there is to be written into a file. Raises Undescribed."""
        return describe(self._caches, self.tokens, mx.array)


def copies_work(network: Any, through: Callable[[WholeState], WholeState] = lambda state: state) -> bool:
    """Whether copies of this network's caches may stand for them, by trial: a sequence goes on in the same way from the
    caches, from a copy after that, and from another one after that. `through`: what the first copy goes through."""
    begun, more = (mx.array([list(range(1, count + 1))]) for count in (_BEGUN, _MORE))

    def goes_on(caches: list[Any]) -> mx.array:
        return mx.concatenate([network(more, cache=caches)[:, -1], network(more[:, :1], cache=caches)[:, -1]])

    try:
        caches = make_prompt_cache(network)
        network(begun, cache=caches)
        state = WholeState(caches, _BEGUN)
        other = through(state)
        original, first, second = (goes_on(one) for one in (caches, other.caches(), state.caches()))
        same = mx.array_equal(original, first) and mx.array_equal(original, second)
    except Exception:  # of code that nobody here has seen; nothing is kept then
        return False
    return bool(same) and bool(state.arrays)
