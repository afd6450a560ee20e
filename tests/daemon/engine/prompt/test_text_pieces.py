"""Long texts are tokenized piece by piece and have the ids of the whole; where that is not sure they stay whole."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from mlx_serve.daemon.engine.prompt.text import text_pieces
from mlx_serve.daemon.engine.prompt.text.encoding import BackendEncoding
from mlx_serve.daemon.engine.prompt.text.text_pieces import TextPieces

LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""As Llama 3 and Qwen part texts."""
CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""As gpt-oss does."""

WORDS = [
    "the",
    "a",
    "I",
    "Quick",
    "don't",
    "return",
    "x1",
    "été",
    "中文",
    "🙂",
    "foo_bar",
    "3.14",
    "(so)",
    "SAYS",
    "l'été",
]
GAPS = [" ", " ", " ", " ", "  ", "\n", "\n\n    ", "\t", " \r\n", ", ", "; "]
CORPUS = [
    "the quick brown fox says that the lazy dog returns a value of 3.14 in the end " * 30,
    "def f(x):\n    return x\n" * 30,
]


def text(seed: int, words: int) -> str:
    chance = random.Random(seed)
    return "".join(chance.choice(WORDS) + chance.choice(GAPS) for _ in range(words))


def trained(parting: Any, normalizer: Any = None, **options: Any) -> Tokenizer:
    made = Tokenizer(models.BPE(byte_fallback=parting is None, **options))
    if normalizer is not None:
        made.normalizer = normalizer
    if parting is not None:
        made.pre_tokenizer = parting
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    )
    made.add_special_tokens([AddedToken("<|turn|>", special=True)])
    made.add_tokens([AddedToken("foo_bar", single_word=True), AddedToken("\n\n", normalized=False)])
    made.add_tokens([AddedToken("SAYS", lstrip=True), AddedToken("(so)", rstrip=True)])
    return made


def bytes_of(pattern: str) -> Any:
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def opened(tokenizer: Tokenizer) -> BackendEncoding:
    return BackendEncoding(tokenizer.to_str().encode(), split_special=False)


def sentence_pieces(**options: Any) -> Tokenizer:
    """As Gemma's: one piece to merge, whatever its blanks."""
    return trained(pre_tokenizers.Split(" ", "merged_with_previous"), normalizers.Replace(" ", "▁"), **options)


SEPARABLE: dict[str, Callable[[], Tokenizer]] = {
    "gpt-2": lambda: trained(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "a blank before": lambda: trained(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "llama": lambda: trained(bytes_of(LLAMA), ignore_merges=True),
    "qwen": lambda: trained(bytes_of(LLAMA), normalizers.NFC()),
    "gpt-oss": lambda: trained(bytes_of(CASED)),
    "digits": lambda: trained(
        pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    ),
    "metaspace": lambda: trained(pre_tokenizers.Metaspace(prepend_scheme="first")),
}


@pytest.mark.parametrize("name", SEPARABLE)
def test_pieces_have_the_ids_of_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut at every place that there is, or at some; the second time from what is known."""
    tokenizer = SEPARABLE[name]()
    encoding = opened(tokenizer)
    assert encoding._pieces is not None
    for seed in range(12):
        given = text(seed, 40 * (1 + seed)) + "<|turn|>" + text(seed + 99, 30) + "word end"
        expected = tokenizer.encode(given, add_special_tokens=False).ids
        for least in (1, 2, 50, 400):
            monkeypatch.setattr(text_pieces, "LEAST", least)
            assert encoding._pieces.ids(given) == expected == encoding._pieces.ids(given)


def refused() -> dict[str, Tokenizer]:
    across = sentence_pieces()
    across.add_tokens(["of the"])
    taking = SEPARABLE["gpt-2"]()
    taking.add_tokens([AddedToken("word", rstrip=True)])
    merged = json.loads(sentence_pieces().to_str())
    vocabulary = merged["model"]["vocab"]
    vocabulary["e▁t"] = max(vocabulary.values()) + 1
    merged["model"]["merges"].insert(0, ["e▁", "t"])
    merged["model"]["merges"].insert(0, ["e", "▁"])
    vocabulary.setdefault("e▁", max(vocabulary.values()) + 1)
    stripped = trained(pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.Strip())
    prepended = trained(None, normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]))
    behind = trained(bytes_of(r"(?<=x) y|" + LLAMA))
    unigram = Tokenizer(models.Unigram([("a", -1.0), (" ", -2.0)], unk_id=0, byte_fallback=False))
    return {
        "a token with a blank in it": across,
        "a token that takes the blanks behind it": taking,
        "merged across blanks": Tokenizer.from_str(json.dumps(merged)),
        "stripped": stripped,
        "prepended": prepended,
        "looks behind": behind,
        "unigram": unigram,
        "whole words are taken as they are": sentence_pieces(ignore_merges=True),
        "some of it is left out": trained(pre_tokenizers.ByteLevel(add_prefix_space=False), dropout=0.1),
    }


@pytest.mark.parametrize("name", refused())
def test_where_it_is_not_sure_texts_stay_whole(name: str) -> None:
    encoding = opened(refused()[name])
    assert encoding._pieces is None


def test_a_vocabulary_whose_tokens_end_at_blanks_needs_no_parting(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Gemma's: all is one word to it."""
    made = json.loads(sentence_pieces().to_str())
    model = made["model"]
    crossing = {token for token in model["vocab"] if text_pieces._ACROSS.search(token)}
    model["merges"] = [pair for pair in model["merges"] if "".join(pair) not in crossing and not crossing & set(pair)]
    model["vocab"] = {token: place for token, place in model["vocab"].items() if token not in crossing}
    tokenizer = Tokenizer.from_str(json.dumps(made))
    encoding = opened(tokenizer)
    assert encoding._pieces is not None
    monkeypatch.setattr(text_pieces, "LEAST", 1)
    for seed in range(12):
        given = text(seed, 100)
        assert encoding._pieces.ids(given) == tokenizer.encode(given, add_special_tokens=False).ids


class Counted:
    """Each letter is a token; `seen` are the texts that were tokenized."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        self.seen += texts
        return [[ord(letter) for letter in one] for one in texts]


def test_only_what_is_new_is_tokenized(monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversation that goes on, one that parts from it, and one that comes between; a piece twice in a text too."""
    monkeypatch.setattr(text_pieces, "LEAST", 100)
    counted = Counted()
    pieces = TextPieces(counted)
    first = text(1, 200)
    for given, new in ((first, len(first)), (first + " and so on " * 30, 500), (first[:600] + "q" + text(2, 9), 320)):
        counted.seen.clear()
        assert pieces.ids(given) == list(map(ord, given))
        assert sum(map(len, counted.seen)) <= new and all(counted.seen)
    counted.seen.clear()
    repeated = "word " * 400
    assert pieces.ids(repeated) == list(map(ord, repeated)) and len(counted.seen) == 3


def test_no_more_is_known_than_a_worker_may_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not asked for the longest time goes."""
    monkeypatch.setattr(text_pieces, "LEAST", 100)
    monkeypatch.setattr(text_pieces, "MOST_KEPT", 3000)
    counted = Counted()
    pieces = TextPieces(counted)
    kept, others = text(1, 150), [text(seed, 150) for seed in range(2, 9)]
    for other in others:
        pieces.ids(kept)
        pieces.ids(other)
        assert sum(map(len, pieces._known)) == pieces._kept <= 3000
    counted.seen.clear()
    pieces.ids(kept)
    assert len(counted.seen) == 1
    pieces.ids(others[0])
    assert len(counted.seen) > 3


@pytest.mark.parametrize("template", ["$A", "<|turn|> $A", "<|turn|> <|turn|> $A <|turn|>"])
def test_special_tokens_stand_around_the_pieces(template: str) -> None:
    tokenizer = SEPARABLE["qwen"]()
    turn = ("<|turn|>", tokenizer.token_to_id("<|turn|>"))
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=[turn])
    encoding, long = opened(tokenizer), text(3, 2000)
    assert encoding._pieces is not None and len(long) > 3 * text_pieces.LEAST
    for given in ("", "a", long):
        for special in (True, False):
            assert encoding.ids(given, special=special) == tokenizer.encode(given, add_special_tokens=special).ids
    assert len(encoding._pieces._known) > 1


def test_short_texts_are_whole(checkpoint: Callable[[str], Path]) -> None:
    tokenizer = Tokenizer.from_file(str(checkpoint("llama") / "tokenizer.json"))
    encoding = opened(tokenizer)
    assert encoding._pieces is not None
    known, long = encoding._pieces._known, text(1, 2000)
    encoding.ids(text(1, 100))
    assert not known
    assert encoding.ids(long) == tokenizer.encode(long, add_special_tokens=False).ids and known
