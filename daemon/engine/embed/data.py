"""What the prompt process needs to know of an embedding model. No MLX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..encode.tokenizer import length_limit
from ..prompt.prompt_frames import EmbedData
from .recipe import Recipe


def embed_data(config: Mapping[str, Any], recipe: Recipe, tokenizer: Any, wanted: int | None) -> EmbedData:
    """`tokenizer` of Transformers; `wanted`: the setting for the longest input. Raises KeyError, ValueError."""
    return EmbedData(
        rows=int(config["vocab_size"]),
        longest=length_limit(config, tokenizer, recipe.max_length, wanted),
        prompts=dict(recipe.prompts),
        default_prompt=recipe.default_prompt,
        with_prompt=recipe.with_prompt,
        end=_end_token(tokenizer, config, recipe),
    )


def _end_token(tokenizer: Any, config: Mapping[str, Any], recipe: Recipe) -> int | None:
    """Qwen3-Embedding is read off `<|endoftext|>`, which the tokenizers of its first revisions do not add."""
    if config.get("model_type") != "qwen3" or "lasttoken" not in recipe.pooling or tokenizer("")["input_ids"]:
        return None
    found = tokenizer.get_vocab().get("<|endoftext|>")
    return found if isinstance(found, int) else None
