"""Tokens to text, whatever way the bytes are cut."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from reference.architectures import VOCABULARY
from reference.tokenizer_files import tokenizer as byte_level
from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from mlx_serve.daemon.engine.output.detokenize import (
    ByteDetokenizer,
    Detokenizer,
    Vocabulary,
    WindowDetokenizer,
    byte_alphabet,
)

PIECES = ["▁", "▁hello", "▁the", "lo", "wor", "ld", "é", "日本", "▁😀", ",", "\n", "▁▁", "a", "<", "▁."]


def wrapped(backend: Tokenizer, **special: str) -> Any:
    return PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False, **special)


def byte_tokenizer() -> Any:
    return wrapped(Tokenizer.from_str(json.dumps(byte_level(VOCABULARY))), eos_token="<|im_end|>")


def piece_tokenizer(decoder: Any) -> Any:
    """SentencePiece's kind: words with the space in front, and a token for every byte that no piece spells."""
    texts = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *PIECES]
    backend = Tokenizer(
        models.BPE(
            vocab={text: place for place, text in enumerate(texts)}, merges=[], unk_token="<unk>", byte_fallback=True
        )
    )
    backend.decoder = decoder
    backend.add_special_tokens([AddedToken(text, special=True) for text in texts[:3]])
    return wrapped(backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def llama_decoder() -> Any:
    """What the tokenizer.json files of Llama 2, Mistral and Gemma's relatives say."""
    return decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )


def gemma_decoder() -> Any:
    return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])


def stream(detokenizer: Detokenizer, tokens: list[int]) -> list[str]:
    return [*map(detokenizer.add, tokens), detokenizer.finish()]


def cuts(count: int) -> Iterator[list[int]]:
    """Every way to cut a row of `count` things: the places of the cuts."""
    for mask in range(1 << (count - 1)):
        yield [0, *(place + 1 for place in range(count - 1) if mask >> place & 1), count]


@pytest.mark.parametrize("text", ["a😀é", "日本語", "é\u0301x", "👩‍🚀", "\u2028\x00"])
def test_characters_cut_anywhere_come_whole(text: str) -> None:
    """For every split of the bytes into tokens: the text is right, and no half character ever shows."""
    data = text.encode()
    for places in cuts(len(data)):
        pieces = [data[start:end] for start, end in pairwise(places)]
        shown = stream(ByteDetokenizer(pieces), list(range(len(pieces))))
        assert "".join(shown) == text
        assert "\ufffd" not in "".join(shown)
        assert shown[-1] == ""


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"a\xe2\x82", b"\xf0\x9f\x98a", b"\xc0\x80", b"\xed\xa0\x80b", b"\x80\x80", b"\xe6\x97\xa5\xe6\x97"],
    ids=lambda data: data.hex(),
)
def test_invalid_bytes_become_replacements(data: bytes) -> None:
    """For every split the same replacement characters as one decoding of all bytes gives; the last ones at the end."""
    for places in cuts(len(data)):
        pieces = [data[start:end] for start, end in pairwise(places)]
        assert "".join(stream(ByteDetokenizer(pieces), list(range(len(pieces))))) == data.decode("utf-8", "replace")


@pytest.mark.parametrize("seed", range(5))
def test_streamed_bytes_are_the_tokenizers_text(seed: int) -> None:
    """Random tokens, valid text or not, special ones among them: the pieces join to what `tokenizer.decode` gives."""
    tokenizer, chance = byte_tokenizer(), random.Random(seed)
    vocabulary = Vocabulary(tokenizer)
    assert isinstance(vocabulary.detokenizer(), ByteDetokenizer)
    for _ in range(200):
        tokens = [chance.randrange(VOCABULARY) for _ in range(chance.randint(0, 40))]
        expected = tokenizer.decode(tokens, skip_special_tokens=True)
        assert "".join(stream(vocabulary.detokenizer(), tokens)) == expected
        assert vocabulary.decode(tokens) == expected


@pytest.mark.parametrize("decoder", [llama_decoder, gemma_decoder, decoders.Metaspace], ids=lambda one: one.__name__)
@pytest.mark.parametrize("seed", range(3))
def test_streamed_pieces_are_the_tokenizers_text(decoder: Any, seed: int) -> None:
    """Words with spaces in front and characters spelled byte by byte join to what `tokenizer.decode` gives."""
    tokenizer, chance = piece_tokenizer(decoder()), random.Random(seed)
    vocabulary = Vocabulary(tokenizer)
    assert isinstance(vocabulary.detokenizer(), WindowDetokenizer)
    for _ in range(150):
        tokens = random_text(chance, tokenizer, bytes_too=decoder is not decoders.Metaspace)
        shown = stream(vocabulary.detokenizer(), tokens)
        assert "".join(shown) == tokenizer.decode(tokens, skip_special_tokens=True)
        assert "\ufffd" not in "".join(shown)


def random_text(chance: random.Random, tokenizer: Any, *, bytes_too: bool) -> list[int]:
    """Tokens of valid text: pieces, whole characters in bytes, and special tokens."""
    tokens: list[int] = []
    for _ in range(chance.randint(0, 25)):
        kind = chance.random()
        if kind < 0.3 and bytes_too:
            tokens += [3 + byte for byte in chance.choice("ß€😀\t").encode()]
        elif kind < 0.35:
            tokens.append(chance.randrange(3))
        else:
            tokens.append(tokenizer.convert_tokens_to_ids(chance.choice(PIECES)))
    return tokens


def test_a_long_text_in_pieces() -> None:
    """The window moves on: hundreds of tokens later the spaces are still right and the work is still small."""
    tokenizer = piece_tokenizer(llama_decoder())
    words = ["▁hello", "▁the", "wor", "ld", "▁", "a"] * 100
    tokens = tokenizer.convert_tokens_to_ids(words)
    detokenizer = WindowDetokenizer(Vocabulary(tokenizer))
    assert "".join(stream(detokenizer, tokens)) == "".join(words).replace("▁", " ")[1:]
    assert len(detokenizer._tokens) <= 70


@pytest.mark.parametrize("decoder", [llama_decoder, gemma_decoder, decoders.Metaspace], ids=lambda one: one.__name__)
def test_a_continuation_keeps_the_space_it_begins_with(decoder: Any) -> None:
    """What decoders drop at the start of a text is the text's own in the middle of one."""
    tokenizer = piece_tokenizer(decoder())
    vocabulary = Vocabulary(tokenizer)
    prompt = tokenizer.convert_tokens_to_ids(["<s>", *["▁hello", "wor", "ld"] * 10])
    answer = tokenizer.convert_tokens_to_ids(["▁the", "▁hello"])
    assert "".join(stream(vocabulary.detokenizer(prompt), answer)) == " the hello"
    assert "".join(stream(vocabulary.detokenizer([*prompt, 3 + 0xE2]), answer)).endswith("the hello")
    assert "".join(stream(vocabulary.detokenizer(prompt[:1]), answer)) == tokenizer.decode(answer)


def test_broken_bytes_in_pieces_end_and_the_text_goes_on() -> None:
    """A byte that no character follows shows as a replacement, and what comes after it comes once."""
    tokenizer = piece_tokenizer(llama_decoder())
    hello, word = tokenizer.convert_tokens_to_ids(["▁hello", "wor"])
    for broken in ([0xFF], [0xE2, 0x82], [0xF0, 0x9F], [0xE2, 0x82, 0xAC, 0xFF]):
        tokens = [hello, *(3 + byte for byte in broken), word, hello]
        shown = "".join(stream(WindowDetokenizer(Vocabulary(tokenizer)), tokens))
        assert shown.startswith("hello")
        assert shown.endswith("\ufffdwor hello")
        assert shown.count("hello") == 2
    unfinished = stream(WindowDetokenizer(Vocabulary(tokenizer)), [hello, 3 + 0xE2])
    assert "".join(unfinished) == "hello\ufffd"


def test_hidden_tokens_leave_no_text_and_shown_ones_do() -> None:
    """A special token is silent, unless it is one of the model's own markers or the beginning of one."""
    tokenizer = byte_tokenizer()
    start = tokenizer.convert_tokens_to_ids("<|im_start|>")
    tokens = [*tokenizer("hello")["input_ids"], start, *tokenizer(" the")["input_ids"]]
    assert Vocabulary(tokenizer).decode(tokens) == "hello the"
    assert Vocabulary(tokenizer, frozenset(["<|im_start|>"])).decode(tokens) == "hello<|im_start|> the"
    assert Vocabulary(tokenizer, frozenset(["<|im_start|>thought"])).decode(tokens) == "hello<|im_start|> the"
    assert Vocabulary(tokenizer).piece(start) == b"<|im_start|>"
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert Vocabulary(tokenizer, stops=frozenset([end])).decode([*tokens, end]) == "hello<|im_start|> the"


def test_vocabulary_with_holes() -> None:
    """Ids need not be dense: tokens past the count of tokens keep their text, ids nobody has are empty."""
    content = byte_level(VOCABULARY)
    content["model"]["vocab"] |= {"Ġfar": 900}
    content["added_tokens"][0]["id"] = 950
    content["model"]["vocab"].pop("Ġfiller300")
    tokenizer = wrapped(Tokenizer.from_str(json.dumps(content)))
    vocabulary = Vocabulary(tokenizer)
    assert vocabulary.decode([900, 300, 901, 5000]) == " far"
    assert vocabulary.piece(300) == vocabulary.piece(5000) == b""


def test_pieces_are_found_when_they_are_asked_for() -> None:
    """Nothing is done for hundreds of thousands of tokens before the first one is said; each is then as its spelling
    says, and stays."""
    tokenizer = byte_tokenizer()
    pieces = Vocabulary(tokenizer).pieces
    assert pieces is not None and set(pieces) == set(tokenizer.added_tokens_decoder)
    for text, token in tokenizer.get_vocab().items():
        if token not in tokenizer.added_tokens_decoder:
            assert pieces[token] == bytes(byte_alphabet()[letter] for letter in text) and token in pieces
