"""Tokens to text: pieces of bytes, incremental UTF-8."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

REPLACEMENT = "\ufffd"
WINDOW = 8
_SILENT = ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


class Detokenizer(Protocol):
    """One sequence's text so far. `add` gives the characters that a token completes; `finish` what is left."""

    def add(self, token: int) -> str: ...
    def finish(self) -> str: ...


def byte_alphabet() -> dict[str, int]:
    """Byte-level BPE's letters and the bytes they stand for (GPT-2's `bytes_to_unicode`, inverted)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in set(printable))
    return table | {chr(256 + place): byte for place, byte in enumerate(others)}


_LETTERS = byte_alphabet()


def spelled_bytes(text: str) -> bytes:
    """What an entry of a byte-level vocabulary stands for; itself, where it is not spelled in those letters."""
    try:
        return bytes(map(_LETTERS.__getitem__, text))
    except KeyError:
        return text.encode()


class BytePieces(dict[int, bytes]):
    """The bytes of each token of a byte-level vocabulary, b"" where there is no such token. Found when they are first
    asked for: large vocabularies have hundreds of thousands, of which answers use few."""

    def __init__(self, backend: Any, known: Mapping[int, bytes]) -> None:
        """`backend`: a tokenizer of the `tokenizers` library; `known` are the tokens that are no text of its own."""
        super().__init__(known)
        self._backend = backend

    def __missing__(self, token: int) -> bytes:
        text = self._backend.id_to_token(token)
        piece = self[token] = b"" if text is None else spelled_bytes(text)
        return piece


class Vocabulary:
    """What each token id is as text or bytes. `hidden` leave no text: special tokens, but none that spells one of the
    model's markers (`shown`), wholly or in part. With `stops` only those and the ones that begin, end, fill or part
    texts are hidden: a special token that nobody knows is text."""

    def __init__(
        self, tokenizer: Any, shown: frozenset[str] = frozenset(), stops: frozenset[int] | None = None
    ) -> None:
        self.backend = getattr(tokenizer, "_tokenizer", None)
        self.tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        self.added = {int(token): str(entry) for token, entry in added.items()}
        silent = {str(name) for name in (getattr(tokenizer, kind, None) for kind in _SILENT) if name}
        self.hidden = frozenset(
            int(token)
            for token, entry in added.items()
            if entry.special
            and (stops is None or int(token) in stops or str(entry) in silent)
            and not any(str(entry) in marker for marker in shown)
        )
        self.pieces = self._byte_pieces() if self._byte_level() else None

    @cached_property
    def size(self) -> int:
        """One more than the last token's id."""
        return 1 + max([*self.tokenizer.get_vocab().values(), *self.added], default=-1)

    def _byte_level(self) -> bool:
        if self.backend is None or self.backend.decoder is None:
            return False
        # The decoder alone: the whole tokenizer as JSON takes seconds where the vocabulary is large.
        decoder = json.loads(self.backend.decoder.__getstate__())
        parts = decoder.get("decoders", [decoder])
        return [part.get("type") for part in parts] == ["ByteLevel"]

    def _byte_pieces(self) -> BytePieces:
        added = {token: b"" if token in self.hidden else text.encode() for token, text in self.added.items()}
        return BytePieces(self.backend, added)

    def detokenizer(self, before: Sequence[int] = ()) -> Detokenizer:
        """For a text of its own, or for one that goes on after the tokens `before`."""
        return ByteDetokenizer(self.pieces) if self.pieces is not None else WindowDetokenizer(self, before)

    def decode(self, tokens: list[int]) -> str:
        """The text of a whole sequence, hidden tokens left out."""
        detokenizer = self.detokenizer()
        return "".join([*map(detokenizer.add, tokens), detokenizer.finish()])

    def piece(self, token: int) -> bytes:
        """One token's bytes by itself, as log-probabilities show it (special tokens by their name)."""
        if token in self.added:
            return self.added[token].encode()
        if self.pieces is not None:
            return self.pieces[token]
        return str(self.tokenizer.decode([token])).encode()


class ByteDetokenizer:
    """Byte-level vocabularies: each token is some bytes; an incomplete character waits for the next token."""

    def __init__(self, pieces: BytePieces | Sequence[bytes]) -> None:
        """`pieces`: the bytes of every token that will be added."""
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token: int) -> str:
        return self._decoder.decode(self._pieces[token])

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


class WindowDetokenizer:
    """Any other vocabulary: decode a short window with and without the new tokens and give the difference.

    The window starts at a token whose text is already out, so that spaces that depend on the neighbour come right; at
    first with the end of `before`, where a text begins as the continuation of another.
    """

    def __init__(self, vocabulary: Vocabulary, before: Sequence[int] = ()) -> None:
        self._vocabulary = vocabulary
        self._tokens = [token for token in before[-WINDOW:] if token not in vocabulary.hidden]
        if self._text(self._tokens).endswith(REPLACEMENT):
            self._tokens = []
        self._start, self._read = 0, len(self._tokens)

    def _text(self, tokens: list[int]) -> str:
        return str(
            self._vocabulary.tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        )

    def _new(self) -> tuple[str, bool]:
        before = self._text(self._tokens[self._start : self._read])
        after = self._text(self._tokens[self._start :])
        whole = after.startswith(before)
        return after[len(before) :] if whole else after, not after.endswith(REPLACEMENT)

    def add(self, token: int) -> str:
        if token in self._vocabulary.hidden:
            return ""
        self._tokens.append(token)
        text, complete = self._new()
        if not complete or not text:
            return ""
        self._start, self._read = self._read, len(self._tokens)
        if self._start > 64:
            del self._tokens[: self._start]
            self._read -= self._start
            self._start = 0
        return text

    def finish(self) -> str:
        text, _ = self._new() if self._read < len(self._tokens) else ("", True)
        self._read = len(self._tokens)
        return text
