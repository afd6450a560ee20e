"""A long text in pieces that are tokenized by themselves, so that those that come again are known.

Every turn of a conversation has the texts of those before. A piece ends between a letter and a blank that a letter
follows. There a text may be cut where no token of the vocabulary stands across: where the tokenizer first parts texts
at such places, as byte-level BPE does, or has no token with a blank behind a letter. Then what is merged on one side
does not depend on the other. Where that is not known of a tokenizer, texts stay whole.
"""

from __future__ import annotations

import json
import re
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, product
from typing import Any

LEAST = 2048
"""Characters of a piece; the last one may have fewer."""

TOGETHER = 64
"""Pieces that are tokenized in one call: 150 bytes and more a token are held as long as it lasts."""

MOST_KEPT = 2 << 20
"""Characters of all that are known."""

_CUT = re.compile("[A-Za-z](?= [A-Za-z])")
# A blank behind a letter, as vocabularies and normalizers write it; the letter is not that of JSON's line end.
_ACROSS = re.compile(r"[ ▁Ġ](?<=[A-Za-z].)(?<!\\..)")
_LOCAL = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Replace", "Sequence"}
_PAIRS = "aelstzAEZ"
_SAMPLE = (
    " ".join(f"{one}{other} {other} {one}" for one, other in product(_PAIRS, repeat=2))
    + " It isn't 3.14 at 10:45, is it? <b>Well</b> don't\tsay (so) to   me;\n\ndef f(x: int) -> str:\n    return x if x"
    " else None  # naïve “quotes” 中文 and 日本語 text 🙂 they'll see\r\n- a\n- b c\n\n\n1 2 345 6789 x y"
)

Encode = Callable[[Sequence[str]], list[list[int]]]
"""Texts to their ids."""


class TextPieces:
    """`encode` tokenizes pieces."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._known: OrderedDict[str, array[int]] = OrderedDict()
        self._kept = 0

    def ids(self, text: str) -> list[int]:
        """As the whole text has them."""
        pieces = list(_pieces(text, LEAST))
        known = {piece: self._known[piece] for piece in pieces if piece in self._known}
        new = [piece for piece in dict.fromkeys(pieces) if piece not in known]
        for start in range(0, len(new), TOGETHER):
            some = new[start : start + TOGETHER]
            known |= {piece: array("I", ids) for piece, ids in zip(some, self._encode(some), strict=True)}
        found: list[int] = []
        for piece in pieces:
            found.extend(known[piece])
        for piece in pieces[:-1]:  # the last one may go on the next time
            self._keep(piece, known[piece])
        return found

    def _keep(self, piece: str, ids: array[int]) -> None:
        if piece not in self._known:
            self._kept += len(piece)
        self._known[piece] = ids
        self._known.move_to_end(piece)
        while self._kept > MOST_KEPT:
            self._kept -= len(self._known.popitem(last=False)[0])


def separable(backend: Any, data: str, encode: Encode) -> bool:
    """Whether a tokenizer of the `tokenizers` library gives the pieces of a text the ids that the whole has. `data` is
    its JSON, as that library writes it."""
    model, normalizer, parting = backend.model, backend.normalizer, backend.pre_tokenizer
    if type(model).__name__ != "BPE" or model.dropout:
        return False
    if model.continuing_subword_prefix or model.end_of_word_suffix:
        return False
    added = backend.get_added_tokens_decoder().values()
    if any(_ACROSS.search(token.content + " " * token.rstrip) for token in added):  # which takes the blanks behind it
        return False
    if normalizer is not None and not _is_local(json.loads(normalizer.__getstate__())):
        return False
    if parting is not None and b"(?<" in parting.__getstate__():  # which looks behind itself
        return False
    if not _parts(normalizer, parting) and (model.ignore_merges or _crosses(data)):
        return False
    pieces = list(_pieces(_SAMPLE, 1))
    return list(chain.from_iterable(encode(pieces))) == encode([_SAMPLE])[0]


def _pieces(text: str, least: int) -> Iterator[str]:
    start = 0
    while (cut := _CUT.search(text, start + least - 1)) is not None:
        yield text[start : cut.end()]
        start = cut.end()
    yield text[start:]


def _is_local(normalizer: dict[str, Any]) -> bool:
    """Whether what it makes of a letter, or of a blank behind one, depends on no more than that."""
    inner = normalizer.get("normalizers", ())
    blank = normalizer["type"] != "Replace" or normalizer["pattern"] == {"String": " "}
    return normalizer["type"] in _LOCAL and blank and all(map(_is_local, inner))


def _crosses(data: str) -> bool:
    """Whether a token of the vocabulary may stand across such a place. Its JSON is searched as it is: a Python object
    for each of 262,000 tokens would take 0.2 s."""
    begin = data.find('"vocab"')
    return begin < 0 or _ACROSS.search(data, begin, max(begin, data.find('"merges"', begin))) is not None


def _parts(normalizer: Any, parting: Any) -> bool:
    """Whether texts are parted at all such places before anything is merged."""
    if parting is None:
        return False
    text = _SAMPLE if normalizer is None else normalizer.normalize_str(_SAMPLE)
    return not any(_ACROSS.search(piece) for piece, _ in parting.pre_tokenize_str(text))
