"""Texts to token ids and back, as Transformers' tokenizers do it; its own package is imported only where it must be."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ....protocol import Detokenize
from ..prompt_frames import TokenizerData
from ..refused import Refused
from .size import size
from .text_pieces import LEAST, TextPieces, separable

BYTES_PER_ID = 4
MOST_TEXT = 16 << 20


class Encoding(Protocol):
    """A tokenizer. `added` are its added tokens, each with whether it is special."""

    added: dict[str, bool]
    backend: Any
    """Of the `tokenizers` library, where there is one behind it."""

    def ids(self, text: str, *, special: bool = False) -> list[int]:
        """With `special`, the tokens that the tokenizer puts around every text are there too."""

    def plain_ids(self, text: str) -> list[int]:
        """As if there were no added tokens."""

    def id(self, token: str) -> int | None: ...

    def has(self, token: int) -> bool:
        """Whether there is a token of this id."""

    def text(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """As Transformers' `decode`: bytes that are no UTF-8 become U+FFFD. The ids must be there."""


class BackendEncoding:
    """A tokenizer of the `tokenizers` library, without Transformers' 35 MB and seconds around it."""

    def __init__(
        self,
        data: bytes,
        *,
        split_special: bool,
        clean_up: bool = False,
        parts: str | None = None,
        pieces: bool | None = None,
    ) -> None:
        """`data`: its JSON, `parts` as in TokenizerData. `pieces`: whether texts may be tokenized in pieces; None: that
        is found out, by JSON as the library writes it."""
        self._clean_up = clean_up
        self.backend = backend = opened(data, parts, split_special=split_special)
        self.added = {token.content: token.special for token in backend.get_added_tokens_decoder().values()}
        self.separable = separable(backend, data.decode(), self._encode) if pieces is None else pieces
        self._pieces = TextPieces(self._encode) if self.separable else None
        self._around = around(self.ids)

    def ids(self, text: str, *, special: bool = False) -> list[int]:
        if self._pieces is not None and len(text) > LEAST:
            if not special:
                return self._pieces.ids(text)
            if self._around is not None:
                return [*self._around[0], *self._pieces.ids(text), *self._around[1]]
        encoded = self.backend.encode_batch_fast([text], add_special_tokens=special)[0]
        return list(encoded.ids)

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [one.ids for one in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def plain_ids(self, text: str) -> list[int]:
        backend = self.backend
        if backend.normalizer is not None:
            text = backend.normalizer.normalize_str(text)
        pieces = [text]
        if backend.pre_tokenizer is not None:
            pieces = [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
        return [token.id for piece in pieces for token in backend.model.tokenize(piece)]

    def id(self, token: str) -> int | None:
        found = self.backend.token_to_id(token)
        return None if found is None else int(found)

    def has(self, token: int) -> bool:
        return self.backend.id_to_token(token) is not None

    def text(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        text = str(self.backend.decode(ids, skip_special_tokens=skip_special))
        return cleaned_up(text) if self._clean_up else text


def opened(data: bytes, parts: str | None = None, *, split_special: bool = False) -> Any:
    """A tokenizer of the `tokenizers` library that neither cuts nor pads texts, of its JSON and with `parts` as in
    TokenizerData. The JSON is made no text first, which takes a tenth of a second and 100 MB where the vocabulary is
    large. Raises what that library raises."""
    from tokenizers import Tokenizer

    backend = with_parts(Tokenizer.from_buffer(data), parts)
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = split_special
    return backend


def with_parts(backend: Any, parts: str | None) -> Any:
    """A tokenizer of the `tokenizers` library with others of its parts, as in TokenizerData."""
    if parts is None:
        return backend
    from tokenizers import Tokenizer

    wanted = json.loads(parts)
    empty = {"type": "WordLevel", "vocab": {}, "unk_token": ""}
    made = Tokenizer.from_str(json.dumps({"version": "1.0", "added_tokens": [], "model": empty, **wanted}))
    for name in wanted:
        setattr(backend, name, getattr(made, name))
    return backend


def around(ids: Callable[..., list[int]]) -> tuple[list[int], list[int]] | None:
    """The tokens that a tokenizer puts before and behind every text; None where that is not seen."""
    bare, whole = ids("a"), ids("a", special=True)
    for place in range(len(whole) - len(bare) + 1):
        if whole[place : place + len(bare)] == bare:
            return whole[:place], whole[place + len(bare) :]
    return None


class TransformersEncoding:
    """A tokenizer that is Python code of Transformers, or changes what the library behind it does."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.backend = getattr(tokenizer, "backend_tokenizer", None)
        self.added = {str(token): bool(token.special) for token in tokenizer.added_tokens_decoder.values()}

    def ids(self, text: str, *, special: bool = False) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=special)["input_ids"])

    def plain_ids(self, text: str) -> list[int]:
        own = getattr(self._tokenizer, "_encode_without_added_tokens", None)
        if own is not None:
            return list(own(text))
        return list(self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def id(self, token: str) -> int | None:
        found = self._tokenizer.convert_tokens_to_ids(token)
        return None if found is None else int(found)

    def has(self, token: int) -> bool:
        return 0 <= token < len(self._tokenizer)

    def text(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special))


def open_encoding(data: TokenizerData) -> Encoding:
    if data.backend is not None:
        return BackendEncoding(
            data.backend,
            split_special=data.split_special,
            clean_up=data.clean_up,
            parts=data.parts,
            pieces=data.separable,
        )
    from transformers import AutoTokenizer

    return TransformersEncoding(AutoTokenizer.from_pretrained(data.folder, **data.options))


def tokenizer_data(tokenizer: Any, folder: str = "", options: dict[str, Any] | None = None) -> TokenizerData:
    """What the prompt process needs to know of a loaded tokenizer of Transformers."""
    template = getattr(tokenizer, "chat_template", None)
    control = getattr(tokenizer, "chat_control_tokens", None)
    return TokenizerData(
        backend=tokenizer.backend_tokenizer.to_str().encode() if _is_plain(tokenizer) else None,
        folder=folder,
        options=options or {},
        names=dict(tokenizer.special_tokens_map),
        template=dict(template) if isinstance(template, dict) else template,
        control=None if control is None else tuple(control),
        split_special=bool(getattr(tokenizer, "split_special_tokens", False)),
        clean_up=_cleans_up(tokenizer),
    )


def cleaned_up(text: str) -> str:
    """Blanks between WordPiece's words that English does not have, as Transformers' `clean_up_tokenization`."""
    for mark in (" .", " ?", " !", " ,"):
        text = text.replace(mark, mark[1:])
    text = text.replace(" ' ", "'")
    for ending in (" n't", " 'm", " 's", " 've", " 're"):
        text = text.replace(ending, ending[1:])
    return text


def _cleans_up(tokenizer: Any) -> bool:
    """Transformers does so where the tokenizer says it, but not for BPE, whose blanks are the text's own."""
    if not getattr(tokenizer, "clean_up_tokenization_spaces", False):
        return False
    anyway = getattr(tokenizer, "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", False)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return bool(anyway) or type(getattr(backend, "model", None)).__name__ != "BPE"


def _is_plain(tokenizer: Any) -> bool:
    """Whether the library behind the tokenizer does all the work."""
    from transformers import PreTrainedTokenizerFast

    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        return False
    # The third came with Transformers 5.20 or so; older ones do without.
    names = ("__call__", "_encode_plus", "_encode_without_added_tokens", "convert_tokens_to_ids", "_decode")
    return all(getattr(type(tokenizer), name, None) is getattr(PreTrainedTokenizerFast, name, None) for name in names)


def decoded(encoding: Encoding, request: Detokenize, note: Callable[[int], None]) -> list[str]:
    """The text of each sequence. `note` as `Preparer` has it. Raises Refused for an id without a token, and for a text
    of more than MOST_TEXT bytes."""
    note(BYTES_PER_ID * sum(map(len, request.sequences)))
    texts, total = [], 0
    for sequence in request.sequences:
        for token in sequence:
            if not encoding.has(token):
                raise Refused("invalid_request", f"this model's vocabulary has no token {token}", "tokens")
        text = encoding.text(sequence, skip_special=request.skip_special_tokens)
        total += size(text)
        if total > MOST_TEXT:
            message = f"the text of these tokens has more than {MOST_TEXT} bytes: send them in parts"
            raise Refused("invalid_request", message, "tokens")
        texts.append(text)
    return texts
