"""Vision towers of mlx-vlm, one class a family: pixels in, features out, as its models merge them into embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal, Protocol

import mlx.core as mx
import mlx.nn as nn

Arrays = dict[str, mx.array]
Together = Literal["nowhere", "everywhere", "windows"]


class Tower(Protocol):
    """`additions`: how many layers of the language network get features of their own. `together`: in which of its
    layers the tokens of a picture attend to all of that picture."""

    additions: int
    together: Together

    def features(self, arrays: Arrays, stages: list[mx.array]) -> mx.array:
        """(1 + additions, tokens, hidden), lazily. `arrays` are an `Arrangement`'s; `stages` gets what is computed on
        the way, piece by piece."""


class _Stage(nn.Module):  # type: ignore[misc]
    """A block of a tower that tells what it gives."""

    def __init__(self, block: nn.Module, told: list[list[mx.array]]) -> None:
        super().__init__()
        self.block = block
        self._told = told

    def __call__(self, *args: Any, **options: Any) -> Any:
        given = self.block(*args, **options)
        if self._told:
            self._told[-1].append(given[0] if isinstance(given, tuple) else given)
        return given


class Family(ABC):
    """What towers have in common. `model` is mlx-vlm's, whose language part is elsewhere."""

    additions = 0
    together: Together = "nowhere"

    def __init__(self, model: Any, config: Any) -> None:
        self._model = model
        self._config = config
        self._told: list[list[mx.array]] = []
        self._stage(self._blocks())

    def features(self, arrays: Arrays, stages: list[mx.array]) -> mx.array:
        pixels = arrays["pixels"].astype(mx.float32)
        shape = (1, 3, *[1] * (pixels.ndim - 2))
        pixels = pixels * arrays["scale"].reshape(shape) + arrays["shift"].reshape(shape)
        self._told.append(stages)
        try:
            return self._features(pixels, arrays)
        finally:
            self._told.pop()

    @abstractmethod
    def _features(self, pixels: mx.array, arrays: Arrays) -> mx.array: ...

    @abstractmethod
    def _blocks(self) -> list[Any]:
        """The list of the tower's blocks, in place."""

    def _stage(self, blocks: list[Any]) -> None:
        blocks[:] = [_Stage(block, self._told) for block in blocks]


class Qwen(Family):
    """Qwen2-VL, Qwen2.5-VL, Qwen3-VL and Qwen3.5: patches in a grid, pictures of any size."""

    def __init__(self, model: Any, config: Any) -> None:
        if config.model_type == "qwen3_vl_moe":
            _exchange_activations(model.vision_tower)
        super().__init__(model, config)
        self.additions = len(getattr(model.vision_tower, "deepstack_visual_indexes", None) or ())

    def _blocks(self) -> list[Any]:
        return self._model.vision_tower.blocks  # type: ignore[no-any-return]

    def _features(self, pixels: mx.array, arrays: Arrays) -> mx.array:
        tower = self._model.vision_tower
        patches = mx.repeat(pixels[:, :, None], self._config.vision_config.temporal_patch_size, axis=2)
        weight = tower.patch_embed.proj.weight
        given = tower(patches.reshape(pixels.shape[0], -1).astype(weight.dtype), arrays["grid"])
        hidden, additions = given if isinstance(given, tuple) else (given, [])
        return mx.stack([hidden, *additions])


def _exchange_activations(tower: Any) -> None:
    """mlx-vlm's tower of Qwen3-VL's mixtures of experts has the activations of its blocks and of its mergers the other
    way round; Transformers has one tower for both."""
    for block in tower.blocks:
        block.mlp.act_fn = nn.GELU(approx="tanh")
    for merger in (tower.merger, *tower.deepstack_merger_list):
        merger.act_fn = nn.GELU()


class Gemma3(Family):
    """SigLIP, pooled; the language network scales embeddings, so features are divided by that."""

    together: Together = "everywhere"

    def _blocks(self) -> list[Any]:
        return self._model.vision_tower.vision_model.encoder.layers  # type: ignore[no-any-return]

    def _features(self, pixels: mx.array, arrays: Arrays) -> mx.array:
        model = self._model
        weight = model.vision_tower.vision_model.embeddings.patch_embedding.weight
        hidden, *_ = model.vision_tower(pixels.transpose(0, 2, 3, 1).astype(weight.dtype), output_hidden_states=True)
        features = model.multi_modal_projector(hidden)
        scale = mx.array(features.shape[-1] ** 0.5, mx.bfloat16).astype(features.dtype)
        return (features / scale).reshape(1, -1, features.shape[-1])  # type: ignore[no-any-return]


class Gemma4(Family):
    """Patches of any number, pooled by squares; in larger models, tokens of a picture see each other in windows."""

    def __init__(self, model: Any, config: Any) -> None:
        super().__init__(model, config)
        if config.text_config.use_bidirectional_attention == "vision":
            self.together = "windows"

    def _blocks(self) -> list[Any]:
        return self._model.vision_tower.encoder.layers  # type: ignore[no-any-return]

    def _features(self, pixels: mx.array, arrays: Arrays) -> mx.array:
        patches = pixels.transpose(0, 2, 1).reshape(1, pixels.shape[0], -1)
        features = self._model.embed_vision(self._model.vision_tower(patches, arrays["places"][None]))
        return features / features.shape[-1] ** 0.5  # type: ignore[no-any-return]


class Idefics3(Family):
    """Idefics3 and SmolVLM: SigLIP on tiles of one size, squares of patches merged."""

    def __init__(self, model: Any, config: Any) -> None:
        super().__init__(model, config)
        model.vision_model.post_layernorm.eps = config.vision_config.layer_norm_eps  # mlx-vlm leaves MLX's own

    def _blocks(self) -> list[Any]:
        return self._model.vision_model.encoder.layers  # type: ignore[no-any-return]

    def _features(self, pixels: mx.array, arrays: Arrays) -> mx.array:
        model, patch = self._model, self._config.vision_config.patch_size
        count, _, height, width = pixels.shape
        whole = mx.ones((count, height // patch, width // patch), dtype=mx.bool_)
        weight = model.vision_model.embeddings.patch_embedding.weight
        hidden, *_ = model.vision_model(
            pixels.transpose(0, 2, 3, 1).astype(weight.dtype), patch_attention_mask=whole, output_hidden_states=True
        )
        features = model.connector(hidden)
        return features.reshape(1, -1, features.shape[-1])  # type: ignore[no-any-return]


class Llava(Family):
    """CLIP or SigLIP, one of whose last layers is projected."""

    def _blocks(self) -> list[Any]:
        return self._model.vision_tower.vision_model.encoder.layers  # type: ignore[no-any-return]

    def _features(self, pixels: mx.array, arrays: Arrays) -> mx.array:
        model = self._model
        weight = model.vision_tower.vision_model.embeddings.patch_embedding.weight
        *_, states = model.vision_tower(pixels.transpose(0, 2, 3, 1).astype(weight.dtype), output_hidden_states=True)
        wanted = model.vision_feature_layer
        first = 1 if model.vision_feature_select_strategy == "default" else 0
        chosen = [states[layer][:, first:] for layer in (wanted if isinstance(wanted, list) else [wanted])]
        features = model.multi_modal_projector(mx.concatenate(chosen, axis=-1))
        return features.reshape(1, -1, features.shape[-1])  # type: ignore[no-any-return]


class Pixtral(Family):
    """Pixtral and Mistral 3: pictures of any size, in the latter with squares of patches merged."""

    def _blocks(self) -> list[Any]:
        return self._model.vision_tower.vision_model.transformer.layers  # type: ignore[no-any-return]

    def _features(self, pixels: mx.array, arrays: Arrays) -> mx.array:
        model = self._model
        weight = model.vision_tower.vision_model.patch_conv.weight
        sizes: Any = arrays["sizes"].tolist()
        *_, states = model.vision_tower(
            pixels.transpose(0, 2, 3, 1).astype(weight.dtype),
            output_hidden_states=True,
            image_sizes=[tuple(size) for size in sizes],
        )
        chosen = states[model.vision_feature_layer]
        if hasattr(model.multi_modal_projector, "patch_merger"):
            features = model.multi_modal_projector(chosen[0], sizes)
        else:
            features = model.multi_modal_projector(chosen)
        return features.reshape(1, -1, features.shape[-1])  # type: ignore[no-any-return]
