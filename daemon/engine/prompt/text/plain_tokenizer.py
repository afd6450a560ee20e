"""Tokenizers for which the `tokenizers` library does all the work, opened without Transformers.

Transformers reads the file's JSON once more and looks at all of it: 1.8 s of Gemma's 262,000 tokens, of which the
library takes 0.9. What comes out depends on the folder's files alone, and is little beside them: names, a chat
template, and what stands around every text. So it is found out once, and after that the prompt process can begin with
the file too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from msgspec.structs import replace

from ..prompt_frames import TokenizerData
from .encoding import cleaned_up, opened, with_parts
from .text_pieces import separable

_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_AFFIXES = ("continuing_subword_prefix", "end_of_word_suffix")  # of a model: none and an empty one are the same
_SAMPLES = (
    "",
    "Hello there, how are you?",
    " naïve façade — 東京 🙂 \u0000\n\t\r\n  two  spaces",
    "don't 'quote' 12345 3.14 x==y // a_b-c .",
)


class PlainTokenizer:
    """What the engine asks of a tokenizer of Transformers. `content`: that of tokenizer.json, which is opened when
    somebody asks for a token; `facts` as `facts_of` gives them."""

    def __init__(self, content: bytes, facts: TokenizerData) -> None:
        self._content = content
        self._facts = facts
        self.chat_template = facts.template

    def data(self, folder: str, options: dict[str, Any]) -> TokenizerData:
        """For the prompt process."""
        content = self._content or self._tokenizer.to_str().encode()
        return replace(self._facts, backend=content, folder=folder, options=options)

    @cached_property
    def _tokenizer(self) -> Any:
        """Of the library. Raises what that raises of a damaged file."""
        backend = opened(self._content, self._facts.parts, split_special=self._facts.split_special)
        self._content = b""  # tens of MB
        return backend

    def open(self) -> PlainTokenizer:
        """Itself, ready. Raises what the library raises of a damaged file."""
        self.added_tokens_decoder  # noqa: B018
        return self

    def __getattr__(self, name: str) -> Any:
        """`bos_token` and the like, None where there is none."""
        if name.endswith("_token"):
            return self._facts.names.get(name)
        if name.endswith("_token_id"):
            token = self._facts.names.get(name.removesuffix("_id"))
            return None if token is None else self.convert_tokens_to_ids(token)
        raise AttributeError(name)

    @cached_property
    def added_tokens_decoder(self) -> dict[int, Any]:
        found: dict[int, Any] = self._tokenizer.get_added_tokens_decoder()
        return found

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)}

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each, with none around it."""
        return [one.ids for one in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(
        self,
        tokens: Sequence[int],
        *,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        text = str(self._tokenizer.decode(list(tokens), skip_special_tokens=skip_special_tokens))
        return cleaned_up(text) if self._facts.clean_up and clean_up_tokenization_spaces is not False else text

    def get_vocab(self) -> dict[str, int]:
        found: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        return found

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Of one token or of each of many; that of the unknown token where there is no such token."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        found = self._tokenizer.token_to_id(tokens)
        return self.unk_token_id if found is None and tokens != self.unk_token else found

    def convert_ids_to_tokens(self, token: int) -> str | None:
        found: str | None = self._tokenizer.id_to_token(int(token))
        return found


def facts_of(tokenizer: Any, content: bytes, data: TokenizerData) -> TokenizerData | None:
    """What Transformers makes of a tokenizer.json of that content, beside the content and its folder. `tokenizer` is
    what it has opened, and `data` what that is for the prompt process. None where a PlainTokenizer would not do the
    same."""
    if data.backend is None:
        return None
    facts = replace(data, backend=None, folder="", options={})
    made = {name: _written(getattr(tokenizer.backend_tokenizer, name)) for name in _PARTS}
    own = PlainTokenizer(content, facts)._tokenizer
    other = {name: part for name, part in made.items() if part != _written(getattr(own, name))}
    facts = replace(facts, parts=json.dumps(other, sort_keys=True) if other else None)
    own = with_parts(own, facts.parts)
    if _digest(own.to_str()) != _digest(data.backend.decode()):
        return None
    del own  # where the vocabulary is large, each of them has some hundred MB
    plain = PlainTokenizer(content, facts)
    if not _alike(plain, tokenizer):
        return None
    return replace(facts, separable=separable(plain._tokenizer, data.backend.decode(), plain.encode))


def _written(part: Any) -> Any:
    """A part of a tokenizer as the library writes it."""
    return None if part is None else json.loads(part.__getstate__())


def _digest(whole: str) -> bytes:
    """Of a tokenizer as the library writes it, by what it does: to cut or to pad texts is nobody's business here."""
    for name in _AFFIXES:
        whole = whole.replace(f'"{name}":null', f'"{name}":""', 1)
    begin = whole.index('"added_tokens"')  # what stands before is a version, how to cut and how to pad
    return hashlib.sha256(whole[begin:].encode()).digest()


def _alike(plain: PlainTokenizer, tokenizer: Any) -> bool:
    """In all that is asked of them, for some texts."""
    added = {number: str(entry) for number, entry in tokenizer.added_tokens_decoder.items()}
    if {number: str(entry) for number, entry in plain.added_tokens_decoder.items()} != added:
        return False
    kinds = [f"{kind}_token{end}" for kind in ("bos", "eos", "pad", "unk", "cls", "sep", "mask") for end in ("", "_id")]
    if any(getattr(plain, kind) != getattr(tokenizer, kind, None) for kind in kinds):
        return False
    tokens = [*added.values(), "no such token \u2603"]
    if plain.convert_tokens_to_ids(tokens) != tokenizer.convert_tokens_to_ids(tokens):
        return False
    for text in (*_SAMPLES, "".join(list(added.values())[:8])):
        for special in (True, False):
            ids = tokenizer(text, add_special_tokens=special)["input_ids"]
            if plain(text, add_special_tokens=special)["input_ids"] != list(ids):
                return False
            for options in ({}, {"skip_special_tokens": True}, {"clean_up_tokenization_spaces": False}):
                if plain.decode(ids, **options) != tokenizer.decode(ids, **options):
                    return False
    return plain.get_vocab() == tokenizer.get_vocab() and plain.chat_template == getattr(
        tokenizer, "chat_template", None
    )
