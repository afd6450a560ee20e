"""What was read or said lately, whether or not it is still kept: by that it can be told why a prompt is read again."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from dataclasses import dataclass

from .chain import BLOCK, Chain, common_beginning

_TOKENS = 1 << 20
_TEXTS = 64


@dataclass(frozen=True)
class KnownText:
    """It may grow. `options`: of the template that made it, whatever stands for them."""

    tokens: array[int]
    names: list[bytes]
    options: object


@dataclass(frozen=True)
class Beginning:
    """A prompt and a known text have `tokens` in common; the text has `length`, and was made with the same options.
    `picture`: both go on with a picture."""

    tokens: int = 0
    length: int = 0
    same_options: bool = True
    picture: bool = False


class KnownTexts:
    """The last 64, of a million tokens in all at most: 4 MB."""

    def __init__(self) -> None:
        self._texts: OrderedDict[int, KnownText] = OrderedDict()  # by the number of their sequence
        self._held = 0

    def remember(self, number: int, chain: Chain, length: int, options: object) -> None:
        """The first `length` tokens of sequence `number`: more of what was remembered of it."""
        text = self._texts.setdefault(number, KnownText(array("i"), [], options))
        self._texts.move_to_end(number)
        self._held += max(0, length - len(text.tokens))
        text.tokens.frombytes(chain.packed(len(text.tokens), length))
        text.names.extend(chain.names(length)[len(text.names) :])
        while len(self._texts) > 1 and (self._held > _TOKENS or len(self._texts) > _TEXTS):
            self._forget(next(iter(self._texts)))

    def longest(self, chain: Chain, length: int, options: object) -> Beginning:
        """Of all known texts that which the first `length` tokens have most in common with, the newest of these."""
        names = chain.names(length)
        best = Beginning()
        for text in reversed(self._texts.values()):
            most = min(length, len(text.tokens))
            whole = min(best.tokens // BLOCK, most // BLOCK)
            if most <= best.tokens or text.tokens[best.tokens] != chain.tokens[best.tokens]:
                continue  # it has no more in common than the best of the newer ones
            if whole and text.names[whole - 1] != names[whole - 1]:
                continue
            common = common_beginning((text.tokens, text.names), (chain.tokens, names), most)
            if common > best.tokens:
                picture = common < most and max(text.tokens[common], chain.tokens[common]) < 0
                best = Beginning(common, len(text.tokens), text.options == options, picture)
        return best

    def _forget(self, number: int) -> None:
        text = self._texts.pop(number, None)
        self._held -= 0 if text is None else len(text.tokens)
