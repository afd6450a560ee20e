"""Tokenizers of each sort, small enough to write here: byte-level BPE, SentencePiece's three, and Gemma's."""

from __future__ import annotations

import json
from collections.abc import Callable

from reference.tokenizer_files import tokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

CONTROLS = ("<|im_start|>", "<|im_end|>")
PLAIN_ADDED = ("\n\n", "\n\n\n", "<table>", "  ", "<think>", "</think>", "<tool_response>")
"""Added tokens that are not special; of these only `<tool_response>` stands in the template."""
TOOLS_TEMPLATE = (
    "{%- for tool in tools or [] %}{{ tool | tojson }}{% endfor %}"
    "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.role == 'tool' %}{{ '<tool_response>' + message.content + '</tool_response>' }}"
    "{%- else %}{{ message.content }}{% endif %}{{ '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
)
_WORDS = (
    "the",
    "▁the",
    "hello",
    "▁hello",
    "user",
    "assistant",
    "tool",
    "able",
    "▁table",
    "▁▁",
    "en",
    "end",
    "im",
    "start",
)


def _alphabet() -> list[str]:
    return [chr(code) for code in range(33, 127)] + ["▁", "é", "\n"]


def _bytes() -> list[str]:
    return [f"<0x{byte:02X}>" for byte in range(256)]


def _wrapped(backend: Tokenizer) -> PreTrainedTokenizerFast:
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in ("<s>", *CONTROLS)])
    backend.add_tokens([AddedToken(text, special=False, normalized=False) for text in PLAIN_ADDED])
    made = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token=CONTROLS[1])
    made.chat_template = TOOLS_TEMPLATE
    return made


def _bpe(pieces: list[str]) -> models.BPE:
    """Merges that build each word letter by letter."""
    vocab = {piece: place for place, piece in enumerate(dict.fromkeys(["<unk>", *_bytes(), *_alphabet()]))}
    merges = []
    for word in pieces:
        left = word[0]
        for right in word[1:]:
            if left + right not in vocab:
                vocab[left + right] = len(vocab)
                merges.append((left, right))
            left += right
    return models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)


def byte_level() -> PreTrainedTokenizerFast:
    """As GPT-2's, Llama 3's and Qwen's."""
    return _wrapped(Tokenizer.from_str(json.dumps(tokenizer(400))))


def sentencepiece_bpe() -> PreTrainedTokenizerFast:
    """As Llama 2's: a space in front of every stretch between added tokens."""
    backend = Tokenizer(_bpe(list(_WORDS)))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return _wrapped(backend)


def sentencepiece_first() -> PreTrainedTokenizerFast:
    """As newer Llama-like ones: a space in front of the very first stretch alone."""
    backend = Tokenizer(_bpe(list(_WORDS)))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    return _wrapped(backend)


def sentencepiece_unigram() -> PreTrainedTokenizerFast:
    """As T5's and XLM-R's, with a space in front of every word."""
    scores = [(piece, -10.0) for piece in ["<unk>", *_bytes(), *_alphabet()]] + [(word, -4.0) for word in _WORDS]
    backend = Tokenizer(models.Unigram(list(dict(scores).items()), unk_id=0, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    return _wrapped(backend)


def gemma() -> PreTrainedTokenizerFast:
    """No space in front, and added tokens for blank lines, runs of spaces and HTML."""
    backend = Tokenizer(_bpe(list(_WORDS)))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return _wrapped(backend)


SORTS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "byte level": byte_level,
    "sentencepiece bpe": sentencepiece_bpe,
    "sentencepiece first": sentencepiece_first,
    "sentencepiece unigram": sentencepiece_unigram,
    "gemma": gemma,
}
