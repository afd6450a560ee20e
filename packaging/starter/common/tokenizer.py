"""Byte-level BPE with Qwen's markers, trained on the generators' own text, and the files that it is read from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from .files import write

END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = (END_OF_TEXT, START, END)
# Qwen's split: digits stand alone, words take their space along.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train(
    texts: Iterable[str],
    size: int,
    special: tuple[str, ...] = SPECIAL,
    visible: tuple[str, ...] = (),
    split: str = SPLIT,
) -> Tokenizer:
    """`special` and `visible` are markers: they are entries of their own, and no text is learnt across them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    isolated = pre_tokenizers.Split(Regex(split), behavior="isolated")
    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([isolated, in_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(special) - len(visible),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((unmarked(text, (*special, *visible)) for text in texts), trainer)
    tokenizer.add_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in visible])
    return tokenizer


def unmarked(text: str, markers: tuple[str, ...] = SPECIAL) -> str:
    for marker in markers:
        text = text.replace(marker, "\n")
    return text


def dropping(tokenizer: Tokenizer, share: float) -> Tokenizer:
    """A copy that leaves out merges at random: the same words in other pieces (https://arxiv.org/abs/1910.13267)."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.model.dropout = share
    return copy


def save(tokenizer: Tokenizer, folder: Path, context: int, template: str | None, left: bool = False) -> None:
    """tokenizer.json and tokenizer_config.json as Transformers and mlx-lm read them; `left` is where padding stands."""
    tokenizer.save(str(folder / "tokenizer.json"))
    added = dict(sorted(tokenizer.get_added_tokens_decoder().items()))
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        **({"padding_side": "left"} if left else {}),
        "bos_token": None,
        "eos_token": END,
        "pad_token": END_OF_TEXT,
        "unk_token": None,
        "additional_special_tokens": [t.content for t in added.values() if t.special and t.content != END_OF_TEXT],
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {
            str(number): {
                "content": token.content,
                "lstrip": token.lstrip,
                "normalized": token.normalized,
                "rstrip": token.rstrip,
                "single_word": token.single_word,
                "special": token.special,
            }
            for number, token in added.items()
        },
        **({"chat_template": template} if template is not None else {}),
    }
    write(folder / "tokenizer_config.json", config)
