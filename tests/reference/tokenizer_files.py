"""The tiny checkpoints' tokenizer: byte-level BPE with a few merges, written as data so that it never changes.

Ids 0-255 are bytes in the order of GPT-2's alphabet, then come the merges, unreachable filler, and three special tokens
at the end. Every byte string can be encoded, and every id decodes.
"""

from __future__ import annotations

from typing import Any

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
WORDS = ("Ġthe", "Ġand", "ing", "Ġof", "Ġto", "er", "Ġin", "Ġis", "system", "user", "assistant", "hello", "é", "日")
TEMPLATE = (
    "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
)


def alphabet() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in byte order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def tokenizer(vocabulary: int) -> dict[str, Any]:
    """The content of tokenizer.json for exactly `vocabulary` ids."""
    letters = alphabet()
    vocab = {letter: index for index, letter in enumerate(letters)}
    merges: list[list[str]] = []
    for word in WORDS:
        spelled = word if word.startswith("Ġ") else "".join(letters[byte] for byte in word.encode())
        left = spelled[0]
        for right in spelled[1:]:
            if left + right not in vocab:
                merges.append([left, right])
                vocab[left + right] = len(vocab)
            left += right
    first_special = vocabulary - len(SPECIAL)
    if len(vocab) > first_special:
        raise ValueError(f"{len(vocab)} tokens and {len(SPECIAL)} special ones pass a vocabulary of {vocabulary}")
    while len(vocab) < first_special:
        vocab[f"Ġfiller{len(vocab)}"] = len(vocab)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": first_special + index,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for index, content in enumerate(SPECIAL)
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": bpe(vocab, merges),
    }


def bpe(vocab: dict[str, int], merges: list[list[str]]) -> dict[str, Any]:
    """The `model` of a tokenizer.json of byte-level BPE."""
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": merges,
    }


def tokenizer_config() -> dict[str, Any]:
    """The content of tokenizer_config.json."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": SPECIAL[2],
        "pad_token": SPECIAL[0],
        "model_max_length": 512,
        "clean_up_tokenization_spaces": False,
        "chat_template": TEMPLATE,
    }
