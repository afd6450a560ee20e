"""Plain caches of a prompt whose rows all begin with the same tokens, which are in memory once.

32 rows that go on from 3,000 tokens would have 11 GB of copies of these (28 layers, 8 heads of 128, half precision), in
memory that the system has to find. Where attention knows both parts, each cache has the beginning, and by itself what
its rows have read since.
"""

from __future__ import annotations

import mlx.core as mx
from mlx_lm.models.cache import KVCache

from . import capacity

Columns = tuple[mx.array, mx.array]  # keys and values, (rows, heads, columns, width) each


class Beginnings:
    """Stands where models expect a mask: each token sees those before it and itself, and first of all the beginning,
    which is that of the layer whose keys attention is given."""

    def __init__(self) -> None:
        self._layers: dict[int, tuple[mx.array, Columns]] = {}

    def begin(self) -> None:
        """The next chunk of the prompt is read."""
        self._layers.clear()

    def note(self, keys: mx.array, beginning: Columns) -> None:
        """A layer gives these keys to attention."""
        self._layers[id(keys)] = keys, beginning

    def of(self, keys: mx.array) -> Columns:
        """The beginning of the layer that gave these keys."""
        return self._layers[id(keys)][1]


class CommonBeginning:
    """Of one layer: what rows with the same `beginning`, (1, heads, columns, width), have read; `offset` tokens, these
    counted in. `beginnings` is shared by all layers of a prompt."""

    plain = KVCache

    def __init__(self, beginning: Columns, beginnings: Beginnings) -> None:
        self._beginning = beginning
        self._beginnings = beginnings
        self._own = KVCache()
        self.offset = self.begun = beginning[0].shape[2]

    @property
    def keys(self) -> mx.array:
        """What shows heads, widths and dtypes."""
        return self._beginning[0]

    @property
    def values(self) -> mx.array:
        """As `keys`."""
        return self._beginning[1]

    @property
    def state(self) -> list[mx.array]:
        """What a chunk has computed."""
        return [] if self._own.keys is None else [self._own.keys, self._own.values]

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> Columns:
        """The rows' own part, which `Beginnings` knows."""
        own: Columns = self._own.update_and_fetch(keys, values)
        self.offset += keys.shape[2]
        self._beginnings.note(own[0], self._beginning)
        return own

    def make_mask(self, N: int, return_array: bool = False, window_size: int | None = None) -> Beginnings:
        """Raises ValueError for masks that networks are not asked for which have such caches."""
        if return_array or window_size:
            raise ValueError("a beginning that rows have in common is seen as a whole")
        self._beginnings.begin()
        return self._beginnings

    @property
    def pages(self) -> int:
        """Whole ones that the beginning takes."""
        return self.begun // capacity.PAGE

    def first(self, rows: int, start: int, stop: int) -> Columns:
        """So many times the beginning's columns from `start` to before `stop`."""
        keys, values = (repeated(part[:, :, start:stop], rows) for part in self._beginning)
        return keys, values

    def parts(self, rows: slice, start: int) -> list[tuple[int, Columns]]:
        """The columns of these rows from `start` on, each part with where it begins: what is left there of the
        beginning, and each row's own."""
        parts = [(start, self.first(rows.stop - rows.start, start, self.begun))] if start < self.begun else []
        if self._own.keys is not None and start < self.offset:
            places = slice(max(0, start - self.begun), self.offset - self.begun)
            own = self._own.keys[rows, :, places], self._own.values[rows, :, places]
            parts.append((max(start, self.begun), own))
        return parts

    def columns(self, row: int, start: int, stop: int) -> Columns:
        """Copies of a row's columns of the tokens from `start` to before `stop`, (1, heads, tokens, width)."""
        keys, values = together([part for _, part in self.parts(slice(row, row + 1), start)])
        return mx.contiguous(keys[:, :, : stop - start]), mx.contiguous(values[:, :, : stop - start])

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in (*self._beginning, *self.state))


def repeated(columns: mx.array, rows: int) -> mx.array:
    """Those of one row as those of so many, in the same memory."""
    return mx.broadcast_to(columns, (rows, *columns.shape[1:]))


def together(parts: list[Columns]) -> Columns:
    """One after the other."""
    keys, values = (list(one) for one in zip(*parts, strict=True))
    return mx.concatenate(keys, 2), mx.concatenate(values, 2)


def joined(beginning: mx.array, own: mx.array) -> mx.array:
    """Both as one array, (rows, heads, columns, width)."""
    return mx.concatenate([repeated(beginning, own.shape[0]), own], 2)
