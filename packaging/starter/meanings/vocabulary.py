"""The tokenizer of the retrieval models: Qwen's byte-level BPE, trained on the generators' own text."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from .examples import INSTRUCTION, example

SIZE = 4096
END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = (END_OF_TEXT, START, END)
MARKERS = ("<think>", "</think>")  # visible, as Qwen3 has them
# Qwen's split: digits stand alone, words take their space along.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _texts(count: int, seed: int, fixed: tuple[str, ...]) -> Iterator[str]:
    rng = random.Random(f"retrieval tokenizer {seed}")
    for i in range(count):
        found = example(rng, 1)
        yield f"Instruct: {INSTRUCTION}\nQuery:{found.query}" if i % 8 == 0 else found.query
        yield found.fits.text
        yield from (other.text for other in found.others)
        yield from fixed


def train(seed: int, examples: int = 30000, fixed: tuple[str, ...] = ()) -> Tokenizer:
    """`fixed` are texts that every prompt holds: their words become tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - len(SPECIAL) - len(MARKERS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(examples, seed, fixed), trainer)
    tokenizer.add_tokens(
        [AddedToken(text, special=True, normalized=False) for text in SPECIAL]
        + [AddedToken(text, special=False, normalized=False) for text in MARKERS]
    )
    return tokenizer


def dropping(tokenizer: Tokenizer, share: float = 0.1) -> Tokenizer:
    """A copy that leaves out merges at random: the same words in other pieces (BPE dropout)."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.model.dropout = share
    return copy


def save(tokenizer: Tokenizer, folder: Path, context: int, template: str | None) -> None:
    """tokenizer.json and tokenizer_config.json as Transformers and mlx-lm read them."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "padding_side": "left",
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
    }
    if template is not None:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
