"""The bytes of every sort of vocabulary, as the grammars see them and as the answer's text has them."""

from __future__ import annotations

import json
import random

import pytest
from llguidance import LLMatcher
from support.byte_vocabulary import walk
from support.vocabularies import CONTROLS, SORTS

from mlx_serve.daemon.engine.grammar.trie import UnknownVocabulary, special, token_bytes, trie
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.output.detokenize import Vocabulary

OBJECT = LLMatcher.grammar_from_lark(
    'start: %json {"type": "object", "properties": {"the name": {"type": "string", "maxLength": 12}, '
    '"日": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3}}, "required": ["the name", "日"], '
    '"additionalProperties": false}'
)


def ends(vocabulary: Vocabulary) -> list[int]:
    return [token for token, text in vocabulary.added.items() if text == CONTROLS[1]]


@pytest.mark.parametrize("sort", sorted(SORTS.keys() - {"sentencepiece unigram"}))  # it cannot spell 日
def test_what_a_grammar_lets_through_is_what_the_text_says(sort: str) -> None:
    """Answers of random allowed tokens, read by the detokenizer: all of them are what the schema asks for."""
    vocabulary = Vocabulary(SORTS[sort]())
    rows = vocabulary.size + 7
    made = trie(vocabulary, rows, ends(vocabulary))
    whole = LLMatcher(made, OBJECT, log_level=0)
    assert not whole.is_error()
    chance = random.Random(1)
    ended = 0
    for _ in range(60):
        drawn = walk(whole.deep_copy(), rows, chance, 200)
        if drawn is None:
            continue
        assert max(drawn) < vocabulary.size
        text = vocabulary.decode([token for token in drawn if token not in ends(vocabulary)])
        value = json.loads(text)
        assert list(value) == ["the name", "日"] and len(value["the name"]) <= 12
        ended += 1
    assert ended > 20


@pytest.mark.parametrize("sort", SORTS)
def test_bytes_of_tokens(sort: str) -> None:
    """Of text, of added tokens, and of the rows of the logits that no token has."""
    vocabulary = Vocabulary(SORTS[sort]())
    found = token_bytes(vocabulary, vocabulary.size + 3)
    assert found[vocabulary.size :] == [b""] * 3
    for token, text in vocabulary.added.items():
        assert found[token] == text.encode()
    for text in ("hello", "é", "{", '"', "\n"):
        assert text.encode() in found or all(bytes([byte]) in found for byte in text.encode())
    assert b" the" in found
    names = {vocabulary.added[token] for token in special(vocabulary, vocabulary.size)}
    assert names >= set(CONTROLS) and "<think>" not in names


@pytest.mark.parametrize("sort", SORTS)
def test_fixed_texts_are_written_as_the_model_writes_them(sort: str) -> None:
    """Where a grammar leaves no choice, the tokens are those of the model's own tokenizer, or spell it in any case."""
    vocabulary = Vocabulary(SORTS[sort]())
    made = trie(vocabulary, vocabulary.size, ends(vocabulary))
    for text in ("hello the table", "assistant\n", "hé", CONTROLS[0], "the<table>"):
        written = made.tokenize_str(text)
        assert made.decode_bytes(written) == text.encode()
    assert made.tokenize_str("hello") == vocabulary.backend.encode("\nhello", add_special_tokens=False).ids[-1:]


def test_a_vocabulary_that_nobody_can_read() -> None:
    """A decoder that is not known, and no token to end with: said, not guessed."""
    wrapped = SORTS["gemma"]()
    from tokenizers import decoders

    wrapped.backend_tokenizer.decoder = decoders.WordPiece()
    vocabulary = Vocabulary(wrapped)
    with pytest.raises(UnknownVocabulary, match="WordPiece"):
        trie(vocabulary, vocabulary.size, ends(vocabulary))
    with pytest.raises(UnknownVocabulary, match="ends an answer"):
        trie(Vocabulary(SORTS["gemma"]()), 100, [])


def test_the_models_own_stop_tokens_end_an_answer(llama: LanguageModel) -> None:
    """And only after the grammar's end."""
    made = trie(llama.vocabulary, llama.rows, llama.stop_tokens)
    matcher = LLMatcher(made, LLMatcher.grammar_from_lark('start: "ab" "c"?'), log_level=0)
    assert walk(matcher.deep_copy(), llama.rows, random.Random(2), 10) is not None
    for stop in llama.stop_tokens:
        early = matcher.deep_copy()
        assert early.consume_tokens([*b"a"]) and not early.validate_tokens([stop])
        assert early.consume_tokens([*b"b"]) and early.validate_tokens([stop])
