"""The model applied to the running rows: buckets of rows, or row by row where its caches allow no batch.

Both sides of that choice look the same to the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Protocol

import mlx.core as mx

from ..cache.capacity import UNKNOWN, Costs, rearranged
from ..cache.rows import row_bytes
from ..shapes import EXACT, Shapes
from .bucket import Bucket, without
from .inputs import Inputs


class Forward(Protocol):
    """Rows are dense: those that leave are replaced by the last ones, as `without` does it."""

    def join(self, caches: list[Any], rows: Sequence[tuple[int, int]], shift: int = 0, alike: int = 0) -> None:
        """New last rows: each a row of these plain caches, which stay as they are, and how many tokens of it. `shift`:
        what they add to a token's place to have its position. All of them begin with the same `alike` tokens."""

    def take(self, row: int) -> list[Any]:
        """A copy of what a row has, as of the last call: plain caches of mlx-lm's own classes, one a layer, of one row.
        They may join again, any number of times, or be prefilled on from. The row stays."""

    def held(self, row: int) -> tuple[list[Any], int]:
        """The caches that hold a row, one a layer, and its place in them."""

    def leave(self, rows: Sequence[int]) -> None: ...

    def __call__(self, inputs: Inputs) -> mx.array:
        """One new token a row, a width of 1, to logits (rows, vocabulary). It only builds what is to be computed."""

    @property
    def rearranges(self) -> bool:
        """Whether the next call moves rows between buffers, some of which it evaluates."""

    @property
    def rewinds(self) -> bool:
        """Whether a row's last token can be taken back: its caches are keys and values of every position."""

    def rewind(self) -> None:
        """Take the last token of every row back; the next one is written in its place. Only with `rewinds`."""

    @property
    def nbytes(self) -> int: ...


class BatchedForward:
    """Rows in up to three buckets (`cache.capacity`), one forward pass a step for each; with pages in one.

    Rows of like length share a bucket, so that a long one does not make the others as wide as itself; mostly there is
    one bucket. Which rows sit where is looked at again whenever one joins or leaves or a buffer would have to grow.
    """

    def __init__(
        self, network: Any, pass_bytes: int, *, ragged: bool = False, shapes: Shapes = EXACT, paged: bool = False
    ) -> None:
        """`pass_bytes` as in `cache.capacity`; `shapes` and `paged` as in Bucket."""
        self._network = network
        self._ragged = ragged
        self._shapes = shapes
        self._costs = Costs(UNKNOWN, pass_bytes, paged)
        self._buckets: list[Bucket] = []
        self._keys: list[int] = []
        self._joined = 0
        self._places: list[mx.array] = []
        self._order: mx.array | None = None

    def join(self, caches: list[Any], rows: Sequence[tuple[int, int]], shift: int = 0, alike: int = 0) -> None:
        if self._costs.row == UNKNOWN and any(length for _, length in rows):
            self._costs = replace(self._costs, row=row_bytes(caches))
        joining = dict(enumerate(rows, self._joined))
        self._joined += len(rows)
        self._keys += joining
        groups = self._arrange({key: length for key, (_, length) in joining.items()})
        for bucket, group in zip(self._buckets, groups, strict=True):
            like: int | None = None
            for run in _neighbours([(key, row) for key, (row, _) in joining.items() if key in group]):
                keys = [key for key, _ in run]
                lengths = [joining[key][1] for key in keys]
                bucket.join(keys, caches, run[0][1], lengths, shift, alike=alike, like=like)
                like = keys[0] if like is None else like
        self._index()

    def take(self, row: int) -> list[Any]:
        key = self._keys[row]
        return self._bucket_of(key).take(key)

    def held(self, row: int) -> tuple[list[Any], int]:
        key = self._keys[row]
        bucket = self._bucket_of(key)
        return bucket.layers, bucket.keys.index(key)

    def leave(self, rows: Sequence[int]) -> None:
        leaving = [self._keys[row] for row in rows]
        self._keys = without(self._keys, rows)
        for bucket in self._buckets:
            if keys := [key for key in leaving if key in bucket.keys]:
                bucket.leave(keys)
        self._arrange()
        self._index()

    def __call__(self, inputs: Inputs) -> mx.array:
        if self.rearranges:
            self._arrange()
            self._index()
        if self._order is None:
            return self._buckets[0](inputs)
        logits = [bucket(inputs.rows(places)) for bucket, places in zip(self._buckets, self._places, strict=True)]
        return mx.concatenate(logits)[self._order]

    @property
    def rearranges(self) -> bool:
        return len(self._keys) > 1 and any(bucket.grows for bucket in self._buckets)

    @property
    def rewinds(self) -> bool:
        return all(bucket.rewinds for bucket in self._buckets)

    def rewind(self) -> None:
        for bucket in self._buckets:
            bucket.rewind()

    @property
    def nbytes(self) -> int:
        return sum(bucket.nbytes for bucket in self._buckets)

    def _bucket_of(self, key: int) -> Bucket:
        return next(bucket for bucket in self._buckets if key in bucket.keys)

    def _arrange(self, joining: Mapping[int, int] | None = None) -> list[list[int]]:
        """Put the rows where a step costs least, if that is worth it. Gives the keys of each bucket, `joining` rows
        included, which are given by their lengths and join afterwards."""
        present = [bucket for bucket in self._buckets if bucket.keys]
        lengths = {key: length for one in present for key, length in zip(one.keys, one.lengths, strict=True)}
        lengths |= joining or {}
        groups = rearranged([bucket.keys for bucket in present], lengths, self._costs)
        self._buckets = [self._kept(group, present) for group in groups]
        for target, group in zip(self._buckets, groups, strict=True):
            for key in group:
                source = next((one for one in [*self._buckets, *present] if key in one.keys), target)
                if source is not target:
                    target.join([key], source.take(key), 0, [lengths[key]], source.shift(key))
                    source.leave([key])
        return groups

    def _kept(self, group: list[int], present: list[Bucket]) -> Bucket:
        """The bucket for a group, taken out of the present ones: that which has most of its tokens, or a new one."""
        common = {
            place: sum(length for key, length in zip(one.keys, one.lengths, strict=True) if key in group)
            for place, one in enumerate(present)
            if any(key in group for key in one.keys)
        }
        if not common:
            return Bucket(self._network, ragged=self._ragged, shapes=self._shapes, paged=self._costs.paged)
        return present.pop(max(common, key=lambda place: common[place]))

    def _index(self) -> None:
        """Where each bucket's rows stand among all, and back; None where there is nothing to sort."""
        inner = [key for bucket in self._buckets for key in bucket.keys]
        if inner == self._keys and len(self._buckets) <= 1:
            self._order = None
            return
        places = {key: place for place, key in enumerate(self._keys)}
        self._places = [mx.array([places[key] for key in bucket.keys]) for bucket in self._buckets]
        self._order = mx.array([inner.index(key) for key in self._keys])


def _neighbours(rows: Iterable[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Keys with the rows that they come from, parted where a row does not follow the one before."""
    runs: list[list[tuple[int, int]]] = []
    for key, row in rows:
        if runs and runs[-1][-1][1] == row - 1:
            runs[-1].append((key, row))
        else:
            runs.append([(key, row)])
    return runs


@dataclass
class _Row:
    """A row by itself; `position` is its next token's, `shifted` whether that differs from its place."""

    caches: list[Any]
    position: int
    shifted: bool

    def apply(self, network: Any, inputs: Inputs) -> mx.array:
        if self.shifted:
            inputs = replace(inputs, positions=mx.array([[self.position]]))
        self.position += 1
        return inputs.apply(network, self.caches)[:, -1]


class SoloForward:
    """Each row has plain caches of its own, copies of what it was prefilled with (MLX's arrays are copied on write)."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._rows: list[_Row] = []

    def join(self, caches: list[Any], rows: Sequence[tuple[int, int]], shift: int = 0, alike: int = 0) -> None:
        for row, length in rows:
            if row != 0:
                raise ValueError("a model without batched caches is prefilled one sequence at a time")
            self._rows.append(_Row(deepcopy(caches), length + shift, bool(shift)))

    def take(self, row: int) -> list[Any]:
        return deepcopy(self._rows[row].caches)

    def held(self, row: int) -> tuple[list[Any], int]:
        return self._rows[row].caches, 0

    def leave(self, rows: Sequence[int]) -> None:
        self._rows = without(self._rows, rows)

    def __call__(self, inputs: Inputs) -> mx.array:
        each = [inputs.rows(slice(row, row + 1)) for row in range(len(self._rows))]
        return mx.concatenate([row.apply(self._network, one) for one, row in zip(each, self._rows, strict=True)])

    @property
    def rearranges(self) -> bool:
        return False

    @property
    def rewinds(self) -> bool:
        return False

    def rewind(self) -> None:
        raise ValueError("the caches of such a model keep no earlier state")

    @property
    def nbytes(self) -> int:
        return sum(cache.nbytes for row in self._rows for cache in row.caches)
