"""The caches of a network's layers, cut into parts that can be kept, and put together again.

Attention over everything, and over a window wider than a block, is kept by columns: any run of tokens by itself. What
else a layer has (recurrent states, narrow windows) depends on all tokens before it and is kept as it was after one of
them: a snapshot. `None` stands for a layer that is kept in the other way. Where a class of caches is not known here,
nothing is cut: the only snapshot is the state of all layers together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import mlx.core as mx
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, RotatingKVCache

from ..cache import attention
from ..cache.attention_rows import AttentionRows
from ..cache.common_beginning import Beginnings, CommonBeginning
from ..cache.state_rows import StateRows
from .chain import BLOCK
from .whole_state import WholeState

Columns: TypeAlias = tuple[mx.array, mx.array]  # keys and values, (1, heads, tokens, width) each
Snapshot: TypeAlias = Any  # an ArraysCache or RotatingKVCache of one row, or a WholeState
Parts: TypeAlias = tuple[Columns | None, ...]
Snapshots: TypeAlias = tuple[Snapshot | None, ...]


def leaves(caches: Iterable[Any]) -> list[Any]:
    """Every layer's caches, those of a list one by one."""
    found: list[Any] = []
    for cache in caches:
        found += leaves(cache.caches) if isinstance(cache, CacheList) else [cache]
    return found


def plain(leaf: Any) -> Any:
    """The class of mlx-lm's that a cache is of; one of our own that holds the same as that says so by `plain`."""
    return getattr(type(leaf), "plain", type(leaf))


def keepable(caches: Sequence[Any]) -> bool:
    """Whether all of a network's caches, plain or batched, can be kept layer by layer."""
    return all(map(_known, leaves(caches)))


def unknown(caches: Sequence[Any]) -> list[str]:
    """The classes of which nobody knows here how to keep them."""
    return list(dict.fromkeys(type(leaf).__name__ for leaf in leaves(caches) if not _known(leaf)))


def _known(leaf: Any) -> bool:
    if isinstance(leaf, (AttentionRows, StateRows)):
        return True
    return plain(leaf) in (KVCache, ArraysCache) or (plain(leaf) is RotatingKVCache and leaf.keep == 0)


def by_columns(leaf: Any) -> bool:
    """Whether this plain or batched cache is kept by columns."""
    if isinstance(leaf, AttentionRows):
        return not leaf.size or leaf.size > BLOCK
    return plain(leaf) is KVCache or (plain(leaf) is RotatingKVCache and leaf.max_size > BLOCK)


def cut(caches: Sequence[Any], row: int, start: int, stop: int, windows: Parts | None = None) -> Parts | None:
    """Copies of the columns from token `start` to before `stop` of a row, not computed yet; None where a window has
    moved past some of them. Caches are plain ones or those of a batch. `windows`: the windows' part, where that was
    cut before."""
    if not keepable(caches):
        return ()
    parts: list[Columns | None] = []
    for place, leaf in enumerate(leaves(caches)):
        part = windows[place] if windows else None
        if part is None and by_columns(leaf):
            part = _columns(leaf, row, start, stop)
        if part is None and by_columns(leaf):
            return None
        parts.append(part)
    return tuple(parts)


def width(parts: Parts) -> int:
    """How many columns there are."""
    return next((part[0].shape[2] for part in parts if part is not None), 0)


def columns(parts: Parts, start: int, stop: int) -> Parts:
    """Those from `start` to before `stop`, in the memory of all."""
    if start == 0 and stop >= width(parts):
        return parts
    places = slice(start, stop)
    return tuple(None if part is None else (part[0][:, :, places], part[1][:, :, places]) for part in parts)


def has_window(leaf: Any) -> bool:
    """Whether this plain or batched cache is kept by columns, and has only the last ones."""
    return by_columns(leaf) and bool(getattr(leaf, "size" if isinstance(leaf, AttentionRows) else "max_size", 0))


def cut_windows(caches: Sequence[Any], row: int, start: int, stop: int) -> Parts:
    """The same of those alone that have only the last columns."""
    return tuple(_columns(leaf, row, start, stop) if has_window(leaf) else None for leaf in leaves(caches))


def _columns(leaf: Any, row: int, start: int, stop: int) -> Columns | None:
    if isinstance(leaf, AttentionRows | CommonBeginning):
        return leaf.columns(row, start, stop)
    keys, values = leaf.keys, leaf.values
    if plain(leaf) is RotatingKVCache:
        keys, values = leaf._temporal_order(keys), leaf._temporal_order(values)
        first = leaf.offset - keys.shape[2]
        if start < first:
            return None
        start, stop = start - first, stop - first
    return mx.contiguous(keys[row : row + 1, :, start:stop]), mx.contiguous(values[row : row + 1, :, start:stop])


def snapshot(caches: Sequence[Any], row: int, length: int) -> Snapshots:
    """What a row has after all its `length` tokens, as far as it is not kept by columns; copies, not computed yet."""
    if not keepable(caches):
        return (WholeState(caches, length),)
    return tuple(None if by_columns(leaf) else _snapshot(leaf, row, length) for leaf in leaves(caches))


def _snapshot(leaf: Any, row: int, length: int) -> Snapshot:
    if isinstance(leaf, (AttentionRows, StateRows)):
        return leaf.take(row, length)
    if type(leaf) is ArraysCache:
        copy = ArraysCache(len(leaf.cache))
        copy.cache = [None if state is None else mx.contiguous(state[row : row + 1]) for state in leaf.cache]
        return copy
    copy = RotatingKVCache(leaf.max_size)
    copy.keys = mx.contiguous(leaf._temporal_order(leaf.keys)[row : row + 1, :, -leaf.max_size :])
    copy.values = mx.contiguous(leaf._temporal_order(leaf.values)[row : row + 1, :, -leaf.max_size :])
    copy.offset, copy._idx = leaf.offset, copy.keys.shape[2]
    return copy


def arrays(parts: Parts, snapshots: Snapshots = ()) -> list[mx.array]:
    """All that these consist of."""
    found = [array for part in parts if part is not None for array in part]
    for one in snapshots:
        if isinstance(one, WholeState):
            found += one.arrays
        elif isinstance(one, ArraysCache):
            found += [state for state in one.cache if state is not None]
        elif one is not None:
            found += [one.keys, one.values]
    return found


def rebuild(
    caches: Sequence[Any], rows: Sequence[tuple[list[Parts], Snapshots]], length: int, *, times: int = 1
) -> list[Any]:
    """A network's empty plain caches, filled: each row from the parts of its first `length` tokens, and from the
    snapshots after them. `times`: a single row stands so many times in them."""
    first = rows[0][1][:1]
    if first and isinstance(first[0], WholeState):
        return first[0].caches()
    for place, leaf in enumerate(leaves(caches)):
        if by_columns(leaf):
            _fill(
                leaf, [[part for parts in row if (part := parts[place]) is not None] for row, _ in rows], length, times
            )
        else:
            _restore(leaf, [snapshots[place] for _, snapshots in rows] * times)
    return list(caches)


def begun(parts: list[Parts], length: int) -> list[CommonBeginning] | None:
    """Caches of a network of which rows may have pages: of such that all begin with the first `length` tokens of these
    parts. None where attention does not read what they have in common."""
    if not attention.reads_beginnings(length):
        return None
    beginnings = Beginnings()
    return [
        CommonBeginning((_begun(parts, layer, 0, length), _begun(parts, layer, 1, length)), beginnings)
        for layer in range(len(parts[0]))
    ]


def _begun(parts: list[Parts], layer: int, which: int, length: int) -> mx.array:
    of_layer = [part[layer] for part in parts]
    return _joined([part[which] for part in of_layer if part is not None], length)


def _fill(leaf: Any, rows: list[list[Columns]], length: int, times: int) -> None:
    size = leaf.max_size if plain(leaf) is RotatingKVCache else 0
    kept = min(length, size) if size else length
    keys, values = (mx.concatenate([_joined([part[which] for part in row], kept) for row in rows]) for which in (0, 1))
    if times > 1:
        keys, values = (mx.broadcast_to(each, (times, *each.shape[1:])) for each in (keys, values))
    leaf.keys, leaf.values, leaf.offset = keys, values, length
    if size:
        leaf._idx = kept


def _joined(parts: list[mx.array], kept: int) -> mx.array:
    """The last `kept` columns of all parts together."""
    needed: list[mx.array] = []
    columns = 0
    for part in reversed(parts):
        needed.insert(0, part)
        columns += part.shape[2]
        if columns >= kept:
            break
    return mx.concatenate(needed, 2)[:, :, columns - kept :]


def _restore(leaf: Any, rows: list[Snapshot]) -> None:
    if type(leaf) is ArraysCache:
        states = zip(*(one.cache for one in rows), strict=True)
        leaf.cache = [None if of_rows[0] is None else mx.concatenate(of_rows) for of_rows in map(list, states)]
        return
    leaf.keys = mx.concatenate([one.keys for one in rows])
    leaf.values = mx.concatenate([one.values for one in rows])
    leaf.offset, leaf._idx = rows[0].offset, rows[0]._idx
