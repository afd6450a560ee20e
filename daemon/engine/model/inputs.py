"""What goes into a network, at prefill and at decode, for text and for what is not text."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

_EMBEDDINGS = ("input_embeddings", "inputs_embeds")  # mlx-lm's name and mlx-vlm's
_POSITIONS = ("position_ids",)
_ADDITIONS = ("additions",)


@dataclass(frozen=True)
class Inputs:
    """`tokens`: (rows, width), int32. `embeddings`: (rows, width, hidden), in place of the tokens' own.

    `positions`: int32, (rows, 1), each row's first one, which the others follow, or (axes, rows, width). After a
    picture a row's positions differ from its places in the caches, each row's by a shift of its own. None: they are
    the same.
    `additions`: (layers, rows, width, hidden), added to what the first layers give.
    """

    tokens: mx.array
    embeddings: mx.array | None = None
    positions: mx.array | None = None
    additions: mx.array | None = None

    def rows(self, places: mx.array | slice) -> Inputs:
        """The same for some of the rows."""
        return Inputs(
            self.tokens[places],
            None if self.embeddings is None else self.embeddings[places],
            None if self.positions is None else self.positions[..., places, :],
            None if self.additions is None else self.additions[:, places],
        )

    def padded(self, rows: int) -> Inputs:
        """The same with rows of zeros after these, so many in all."""

        def longer(array: mx.array | None, axis: int) -> mx.array | None:
            if array is None:
                return None
            widths = [(0, 0)] * array.ndim
            widths[axis] = (0, rows - array.shape[axis])
            return mx.pad(array, widths)

        tokens = longer(self.tokens, 0)
        assert tokens is not None
        return Inputs(tokens, longer(self.embeddings, 0), longer(self.positions, -2), longer(self.additions, 1))

    def apply(self, network: Any, caches: list[Any]) -> mx.array:
        """The logits, (rows, width, vocabulary). Raises ValueError where the network cannot take what is given."""
        options: dict[str, mx.array] = {}
        if self.embeddings is not None:
            options[_parameter(network, _EMBEDDINGS)] = self.embeddings
        if self.positions is not None:
            options[_parameter(network, _POSITIONS)] = self.positions
        if self.additions is not None:
            options[_parameter(network, _ADDITIONS)] = self.additions
        logits: mx.array = network(self.tokens, cache=caches, **options)
        return logits


def _parameter(network: Any, names: tuple[str, ...]) -> str:
    """Which of these names the network calls its parameter; one that takes any keyword gets the first."""
    parameters = inspect.signature(network).parameters
    for name in names:
        if name in parameters:
            return name
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return names[0]
    raise ValueError(f"the architecture {type(network).__module__} takes no {names[0]}")
