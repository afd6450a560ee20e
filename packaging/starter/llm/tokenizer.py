"""The starter's tokenizer: byte-level BPE with Qwen's splitting and markers, trained on the generators' own text."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from . import template
from .conversation import conversation

VOCABULARY = 4096
END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = (END_OF_TEXT, START, END)
MARKERS = (
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)  # visible, as Qwen3 has them
# Other than Qwen's: a word is the same tokens behind a space, a quote or an underscore, and of capitals in a row each
# stands alone. So a small model copies and re-spells words that it never saw. Digits stand alone, as in Qwen's.
SPLIT = r"\p{Lu}(?![^\P{L}\p{Lu}])|\p{Lu}?[^\P{L}\p{Lu}]+|\p{N}|[\r\n]+| (?= )| |[^\s\p{L}\p{N}]+|\s"


def _texts(count: int, seed: int) -> Iterator[str]:
    rng = random.Random(f"tokenizer {seed}")
    for _ in range(count):
        for text, _ in template.pieces(conversation(rng)):
            for marker in (*SPECIAL, *MARKERS):
                text = text.replace(marker, "\n")
            yield text


def train(seed: int = 1, conversations: int = 12000) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL) - len(MARKERS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(conversations, seed), trainer)
    tokenizer.add_tokens(
        [AddedToken(text, special=True, normalized=False) for text in SPECIAL]
        + [AddedToken(text, special=False, normalized=False) for text in MARKERS]
    )
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, context: int) -> None:
    """tokenizer.json and tokenizer_config.json as Transformers and mlx-lm read them."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "bos_token": None,
        "eos_token": END,
        "pad_token": END_OF_TEXT,
        "unk_token": None,
        "additional_special_tokens": [START, END],
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {
            str(tokenizer.token_to_id(text)): {
                "content": text,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": text in SPECIAL,
            }
            for text in (*SPECIAL, *MARKERS)
        },
        "chat_template": template.TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
