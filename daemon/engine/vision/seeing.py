"""A network that sees: a language network of mlx-lm, and the parts of mlx-vlm's that read pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache

from .axes import Ambient, AxesRope
from .towers import Tower


class SeeingNetwork(nn.Module):  # type: ignore[misc]
    """Looks like a network of mlx-lm. `axes`: which axis turns each pair of values, None for plain positions.
    `blank`: a token that stands where a picture's do, for layers that look tokens up by themselves."""

    def __init__(self, language: nn.Module, sees: nn.Module, tower: Tower, *, axes: Sequence[int] | None) -> None:
        super().__init__()
        self.language = language
        self.sees = sees
        self._tower = tower
        self._ambient = Ambient()
        self.has_axes = axes is not None
        self.together = tower.together
        by_layer = getattr(language.model, "hidden_size_per_layer_input", 0)
        self.blank = int(getattr(language.args, "pad_token_id", None) or 0) if by_layer else None
        for place, layer in enumerate(language.model.layers):
            if axes is not None and hasattr(layer, "self_attn"):
                layer.self_attn.rope = AxesRope(layer.self_attn.rope, axes, self._ambient)
            if place < tower.additions:
                language.model.layers[place] = _Added(layer, place, self._ambient)

    @property
    def layers(self) -> Any:
        return self.language.layers

    def make_cache(self) -> list[Any]:
        caches: list[Any] = make_prompt_cache(self.language)
        return caches

    def __call__(
        self,
        tokens: mx.array,
        cache: Any = None,
        input_embeddings: mx.array | None = None,
        position_ids: mx.array | None = None,
        additions: mx.array | None = None,
    ) -> mx.array:
        """Logits, (rows, width, vocabulary)."""
        ambient = self._ambient
        ambient.positions, ambient.additions, ambient.turned = position_ids, additions, None
        try:
            if input_embeddings is None:
                logits = self.language(tokens, cache=cache)
            else:
                logits = self.language(tokens, cache=cache, input_embeddings=input_embeddings)
        finally:
            ambient.positions = ambient.additions = ambient.turned = None
        return logits  # type: ignore[no-any-return]

    def embed(self, tokens: mx.array) -> mx.array:
        """What stands for tokens, (rows, width, hidden), before the network scales it."""
        embedded: mx.array = self.language.model.embed_tokens(tokens)
        return embedded

    def look(self, arrays: dict[str, mx.array]) -> tuple[mx.array, list[mx.array]]:
        """The features of one picture, (1 + additions, tokens, hidden), lazily; and what is computed on the way, each a
        piece of the work. The first is what stands for its tokens, the others are added after layers."""
        stages: list[mx.array] = []
        features = self._tower.features(arrays, stages)
        return features, stages

    def feature_bytes(self, tokens: int) -> int:
        """What the features of so many tokens take."""
        probe = self.embed(mx.array([[0]]))
        return (1 + self._tower.additions) * tokens * probe.shape[-1] * probe.itemsize


class _Added(nn.Module):  # type: ignore[misc]
    """A layer with something added to what it gives (DeepStack of Qwen3-VL, https://arxiv.org/abs/2406.04334)."""

    def __init__(self, layer: nn.Module, place: int, ambient: Ambient) -> None:
        super().__init__()
        self.layer = layer
        self._place = place
        self._ambient = ambient

    def __getattr__(self, name: str) -> Any:
        if name == "layer" or name in self:
            return super().__getattr__(name)
        return getattr(self.layer, name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        given = self.layer(*args, **options)
        additions = self._ambient.additions
        return given if additions is None else given + additions[self._place]
