"""What the caches of one network are made of: types and shapes, by which a file's tensors are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from mlx_lm.models.cache import ArraysCache

from ..chain import BLOCK
from ..layers import by_columns, leaves
from ..state_graph import Described
from .block_file import Header, States, Window
from .tensor import WIDTHS, Tensor


@dataclass(frozen=True)
class Layer:
    """`tensors` of one row: keys and values with no token, or states, of which None are not there. `window`: tokens of
    one that is not kept by columns."""

    columns: bool
    tensors: tuple[Tensor | None, ...]
    window: int = 0


@dataclass(frozen=True)
class Whole:
    """States of all layers together: how many caches they are, and the `forms` of the arrays in them as far as a trial
    has shown them, as in StateGraph."""

    caches: int
    forms: tuple[tuple[str, str, int], ...]

    def fits(self, found: frozenset[tuple[str, str, int]]) -> bool:
        """Some fields have an array only after many tokens; nothing is known of those."""
        known = {place for place, _, _ in self.forms}
        return all(one in self.forms for one in found if one[0] in known)


@dataclass(frozen=True)
class Layout:
    """`whole`: where caches cannot be cut; then there are no layers, and `kinds` are the classes in them by name."""

    layers: tuple[Layer, ...]
    whole: Whole | None = None
    kinds: Mapping[str, type] = field(default_factory=dict)

    @classmethod
    def of(cls, caches: Sequence[Any]) -> Layout | None:
        """Of plain caches, one row each, that hold a token or more; None where one of them holds nothing all the same,
        so that nobody knows what it would."""
        found = leaves(caches)
        return cls(tuple(map(_layer, found))) if all(map(_holds, found)) else None

    @classmethod
    def of_state(cls, described: Described) -> Layout:
        """Of caches that cannot be cut, by a state of theirs."""
        graph, kinds = described.graph, dict(sorted(described.kinds.items()))
        return cls((), Whole(graph.made_of(kinds, WIDTHS) or 0, tuple(sorted(graph.forms))), kinds)

    @property
    def largest(self) -> int:
        """Bytes that a block does not exceed; of states nobody knows."""
        tokens = [BLOCK if one.columns else one.window for one in self.layers]
        pairs = zip(self.layers, tokens, strict=True)
        return sum(_bytes(tensor, count) for one, count in pairs for tensor in one.tensors if tensor is not None)

    def columns(self, tokens: int) -> list[Tensor]:
        """Keys and values of so many tokens, of each layer that is kept by columns."""
        return [_wide(tensor, tokens) for one in self.layers if one.columns for tensor in one.tensors if tensor]

    def fits(self, header: Header) -> bool:
        """Whether its block is one of this network: columns first, and then what else there is of each layer."""
        if self.whole is not None:
            return self._is_state(header)
        wanted, snapshots = self.columns(header.tokens), header.snapshots
        if header.parts != tuple(one.columns for one in self.layers):
            return False
        if snapshots is not None:
            if len(snapshots) != len(self.layers):
                return False
            for one, kept in zip(self.layers, snapshots, strict=True):
                if one.columns:
                    if kept is not None:
                        return False
                elif one.window:
                    if not isinstance(kept, Window) or kept.size != one.window:
                        return False
                    wanted += [_wide(tensor, min(kept.offset, one.window)) for tensor in one.tensors if tensor]
                else:
                    present = tuple(tensor is not None for tensor in one.tensors)
                    if not isinstance(kept, States) or kept.present != present:
                        return False
                    wanted += [tensor for tensor in one.tensors if tensor is not None]
        return list(header.tensors) == wanted

    def _is_state(self, header: Header) -> bool:
        graph = header.whole
        if self.whole is None or graph is None or header.parts or len(header.snapshots or ()) != 1:
            return False
        same = graph.made_of(self.kinds, WIDTHS) == self.whole.caches and self.whole.fits(graph.forms)
        return same and header.tensors == tuple(Tensor(one.dtype, one.shape) for one in graph.leaves)


def _holds(leaf: Any) -> bool:
    arrays = leaf.cache if isinstance(leaf, ArraysCache) else (leaf.keys, leaf.values)
    there = [one for one in arrays if one is not None]
    return bool(there) and all(one.size for one in there) and (isinstance(leaf, ArraysCache) or len(there) == 2)


def _layer(leaf: Any) -> Layer:
    if isinstance(leaf, ArraysCache):
        return Layer(False, tuple(None if one is None else _tensor(one) for one in leaf.cache))
    columns = by_columns(leaf)
    pair = tuple(_wide(_tensor(one), 0) for one in (leaf.keys, leaf.values))
    return Layer(columns, pair, 0 if columns else int(leaf.max_size))


def _tensor(array: Any) -> Tensor:
    return Tensor(str(array.dtype).rpartition(".")[2], tuple(array.shape))


def _wide(tensor: Tensor, tokens: int) -> Tensor:
    return Tensor(tensor.dtype, (*tensor.shape[:2], tokens, *tensor.shape[3:]))


def _bytes(tensor: Tensor, tokens: int) -> int:
    shape = [tokens if size == 0 else size for size in tensor.shape]
    return Tensor(tensor.dtype, tuple(shape)).nbytes if prod(shape) else 0
