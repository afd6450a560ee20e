"""Texts and pairs of texts to token ids, many at a time, and the cutting of those that are too long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...protocol import Count, Detokenize, TextPrompt
from ..prompt.refused import Refused, check_counted
from ..prompt.text.encoding import Encoding, decoded
from ..prompt.text.size import fits, most_characters, size

Input = str | tuple[str, str]


@dataclass(frozen=True)
class Tokens:
    """`segments`: 1 for the second of a pair, else 0. `cut`: there was more."""

    ids: list[int]
    segments: list[int]
    cut: bool = False


class TextTokenizer:
    """The tokenizer of the `tokenizers` library behind `encoding` belongs to this object: how it cuts is a state of it.
    `longest`: tokens of one input, special ones included. `note` as `Preparer` has it."""

    def __init__(self, encoding: Encoding, longest: int) -> None:
        self._encoding = encoding
        self._backend = backend = encoding.backend
        self.longest = longest
        self.note: Callable[[int], None] = lambda size: None
        backend.no_padding()
        backend.no_truncation()

    def encode(self, inputs: Sequence[Input], *, special: bool = True) -> list[Tokens]:
        """Whole, however long they are."""
        self.note(sum(size(text) for one in inputs for text in _texts(one)))
        found = self._backend.encode_batch_fast(list(inputs), add_special_tokens=special)
        return [Tokens(one.ids, one.type_ids) for one in found]

    def count(self, request: Count) -> list[list[int]]:
        """The tokens of each text, however many they are. Raises Refused."""
        texts = []
        for prompt in request.prompts:
            if not isinstance(prompt, TextPrompt):
                raise Refused("unsupported", "this model has no chat: it takes texts, no messages", "messages")
            texts.append(prompt)
        self.note(check_counted([prompt.text for prompt in texts], self.longest))
        return [self.whole(prompt.text, special=prompt.add_special_tokens) for prompt in texts]

    def whole(self, text: str, *, special: bool) -> list[int]:
        """The tokens of a text, with `special` those that stand around every input."""
        (found,) = self._backend.encode_batch_fast([text], add_special_tokens=special)
        return list(found.ids)

    def detokenize(self, request: Detokenize) -> list[str]:
        """Raises Refused."""
        return decoded(self._encoding, request, self.note)

    def encode_inert(self, texts: Sequence[str]) -> list[list[int]]:
        """Texts that go into a template: what spells one of its control tokens stays text."""
        self._backend.encode_special_tokens = True
        try:
            return [one.ids for one in self.encode(texts, special=False)]
        finally:
            self._backend.encode_special_tokens = False

    def fitting(self, inputs: Sequence[Input]) -> list[Tokens | None]:
        """Each whole, or None for one that is far too long to be tokenized."""
        may = [fits(_texts(one), self.longest) for one in inputs]
        found = iter(self.encode([one for one, small in zip(inputs, may, strict=True) if small]))
        return [next(found) if small else None for small in may]

    def cut(self, one: Input, longest: int) -> Tokens:
        """The beginning that fits, special tokens included; of a pair the longer text is cut first."""
        most = most_characters(longest)
        part = one[:most] if isinstance(one, str) else (one[0][:most], one[1][:most])
        self.note(sum(size(text) for text in _texts(part)))
        self._backend.enable_truncation(longest, strategy="longest_first")
        try:
            (found,) = self._backend.encode_batch([part], add_special_tokens=True)
        finally:
            self._backend.no_truncation()
        return Tokens(found.ids, found.type_ids, cut=bool(found.overflowing) or part != one)


def _texts(one: Input) -> list[str]:
    return [one] if isinstance(one, str) else list(one)
