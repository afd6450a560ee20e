"""The embedding model's folder, file by file as Qwen3-Embedding's repository has them."""

# ruff: noqa: E501 - texts are kept as they come out

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, processors

from ..meanings import folder as common
from ..meanings import vocabulary
from ..meanings.examples import INSTRUCTION
from .batches import prompted

if TYPE_CHECKING:
    from ..llm.model import Shape  # needs torch

DIMENSIONS = (32, 64, 128, 256)


def closed(tokenizer: Tokenizer) -> Tokenizer:
    """Every text ends with <|endoftext|>, the token whose state is the embedding."""
    end = vocabulary.END_OF_TEXT
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", pair=f"$A {end} $B:1 {end}:1", special_tokens=[(end, tokenizer.token_to_id(end))]
    )
    return tokenizer


def describe(shape: Shape, tokenizer: Tokenizer, folder: Path) -> None:
    common.configs(shape, tokenizer, folder)
    vocabulary.save(closed(tokenizer), folder, shape.context, None)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    common.write(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(modules)
        ],
    )
    common.write(
        folder / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": shape.hidden,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": False,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
            "pooling_mode_weightedmean_tokens": False,
            "pooling_mode_lasttoken": True,
            "include_prompt": True,
        },
    )
    common.write(
        folder / "config_sentence_transformers.json",
        {
            "prompts": {"query": prompted(INSTRUCTION, ""), "document": ""},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    )


def card(folder: Path, context: int, log: dict[str, Any], table: str) -> None:
    sizes = ", ".join(map(str, DIMENSIONS))
    (folder / "README.md").write_text(
        f"""---
license: mit
library_name: sentence-transformers
pipeline_tag: feature-extraction
tags: [sentence-transformers, sentence-similarity, feature-extraction]
language: en
---

# starter-embed

An embedding model of {log["parameters"] / 1e6:.1f} million parameters that comes with mlx-serve, for trying and testing.

It was trained from nothing, on synthetic English text alone, in a few minutes on one GPU. It finds the passage that answers
a question and tells sentences that mean the same from others, in simple sentences about mlx-serve, cooking, weather, travel,
animals, computers, sport, music, health, money, home, people, the world and daily life. It matches names and numbers by
their letters and knows the synonyms of its generator; of the rest of the language and of other languages it knows nothing.
Use a real model for real work.

- Architecture: Qwen3, made as Qwen3-Embedding: the state of the last token, `<|endoftext|>`, which the tokenizer appends,
  normalised. Queries begin with `Instruct: {{task}}\\nQuery:`, texts with nothing. Own byte-level BPE of 4,096 entries.
- Dimensions: {sizes}. The first ones stand for the whole (Matryoshka): cut, then normalise again. Texts of up to
  {context:,} tokens.
- Recipe: `packaging/starter/embed` of mlx-serve's repository. No outside text and no outside weights went in.
- Run: {common.run(log)}.

## Evaluation

The right text comes first among 128: 7 near ones and those of 15 other cases ("other topics": those of other domains alone).
Wordings, names, things and scenes are such as training never sees; in "new kind of question" no fact of the kind was ever
trained. Of mlx-serve the facts are known, the questions are new.

{table}

## Loss

{common.losses(log)}
"""
    )
