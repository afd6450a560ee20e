"""The reranker's folder, file by file as Qwen3-Reranker's repository has them."""

# ruff: noqa: E501 - texts are kept as they come out

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from ..meanings import folder as common
from ..meanings import vocabulary
from .prompt import TEMPLATE

if TYPE_CHECKING:
    from ..llm.model import Shape  # needs torch


def describe(shape: Shape, tokenizer: Tokenizer, folder: Path) -> None:
    common.configs(shape, tokenizer, folder)
    vocabulary.save(tokenizer, folder, shape.context, TEMPLATE)


def card(folder: Path, context: int, log: dict[str, Any], table: str) -> None:
    (folder / "README.md").write_text(
        f"""---
license: mit
library_name: transformers
pipeline_tag: text-ranking
language: en
---

# starter-rerank

A reranker of {log["parameters"] / 1e6:.1f} million parameters that comes with mlx-serve, for trying and testing.

It was trained from nothing, on synthetic English text alone, in a few minutes on one GPU. It says whether a text answers a
question, in simple sentences about mlx-serve, cooking, weather, travel, animals, computers, sport, music, health, money, home,
people, the world and daily life. It matches names and numbers by their letters and knows the synonyms of its generator; of
the rest of the language and of other languages it knows nothing. Use a real model for real work.

- Architecture: Qwen3, made as Qwen3-Reranker: its prompt with `<Instruct>`, `<Query>` and `<Document>`, and the score is the
  probability of `yes` against `no` after the empty think block. Own byte-level BPE of 4,096 entries. Prompts of up to
  {context:,} tokens.
- Recipe: `packaging/starter/rerank` of mlx-serve's repository. No outside text and no outside weights went in.
- Run: {common.run(log)}.

## Evaluation

The text that answers has a higher score than 7 near ones: of the same topic, with the words of the query, or the query itself.
Wordings, names, things and scenes are such as training never sees; in "new kind of question" no fact of the kind was ever
trained. Of mlx-serve the facts are known, the questions are new. "yes and no" counts how often the score of each text is on the
right side of one half.

{table}

## Loss

{common.losses(log)}
"""
    )
