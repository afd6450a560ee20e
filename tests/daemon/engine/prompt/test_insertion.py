"""Prompts with a suffix: each family's markers by id in its makers' order, the client's code as text, what is cut."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.engine_wire import prompts_of
from support.vocabularies import SORTS
from tokenizers import AddedToken, processors
from transformers import PreTrainedTokenizerFast

from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.output.detokenize import Vocabulary
from mlx_serve.daemon.engine.prompt.insertion.markers import FAMILIES, ends, find
from mlx_serve.daemon.engine.prompt.prepared import Prepared
from mlx_serve.daemon.engine.prompt.refused import Refused
from mlx_serve.daemon.engine.prompt.render import Prompts
from mlx_serve.daemon.protocol import Generate, TextPrompt

QWEN = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "<|file_sep|>")
EXPECTED = {
    "<|fim_prefix|>": ["<s>", "<|fim_prefix|>", "BEFORE", "<|fim_suffix|>", "BEHIND", "<|fim_middle|>"],
    "<fim_prefix>": ["<s>", "<fim_prefix>", "BEFORE", "<fim_suffix>", "BEHIND", "<fim_middle>"],
    "<fim-prefix>": ["<s>", "<fim-prefix>", "BEFORE", "<fim-suffix>", "BEHIND", "<fim-middle>"],
    "<｜fim▁begin｜>": ["<s>", "<｜fim▁begin｜>", "BEFORE", "<｜fim▁hole｜>", "BEHIND", "<｜fim▁end｜>"],
    "▁<PRE>": ["<s>", "▁<PRE>", "BEFORE", "▁<SUF>", "BEHIND", "▁<MID>"],
    "[PREFIX]": ["<s>", "[SUFFIX]", "BEHIND", "[PREFIX]", "BEFORE"],
}
"""What the makers' own code writes, BOS first."""


def with_tokens(sort: str, tokens: tuple[str, ...], *, bos: bool = True, special: bool = True) -> Any:
    tokenizer = SORTS[sort]()
    backend = tokenizer.backend_tokenizer
    add = backend.add_special_tokens if special else backend.add_tokens
    add([AddedToken(token, special=special, normalized=False) for token in tokens])
    if bos:
        first = (("<s>", backend.token_to_id("<s>")), ("<|im_end|>", backend.token_to_id("<|im_end|>")))
        backend.post_processor = processors.TemplateProcessing(single="<s> $A <|im_end|>", special_tokens=list(first))
    made = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="<|im_end|>")
    made.chat_template = tokenizer.chat_template
    return made


def prompts(llama: LanguageModel, tokenizer: Any, **facts: Any) -> Prompts:
    return prompts_of(
        replace(llama, tokenizer=tokenizer, vocabulary=Vocabulary(tokenizer), rows=len(tokenizer), **facts)
    )


def prepare(made: Prompts, before: str, behind: str, limit: int | None = None, **options: Any) -> Prepared:
    prompt = TextPrompt(text=before, suffix=behind, **options)
    return made.prepare(Generate(prompt=prompt, context_length=limit))


def plain(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("family", FAMILIES, ids=[family.prefix for family in FAMILIES])
def test_each_family(llama: LanguageModel, family: Any) -> None:
    """Markers by id in the makers' order, BOS in front and no end of text behind."""
    tokenizer = with_tokens("byte level", tuple(sorted(family.needed)))
    expected: list[int] = []
    for part in EXPECTED[family.prefix]:
        text = {"BEFORE": "def f(x):\n    ", "BEHIND": "\n    return y\n"}.get(part)
        expected += [tokenizer.convert_tokens_to_ids(part)] if text is None else plain(tokenizer, text)
    made = prompts(llama, tokenizer)
    found = prepare(made, "def f(x):\n    ", "\n    return y\n")
    assert found.tokens == expected and not found.truncated
    assert prepare(made, "def f(x):\n    ", "\n    return y\n", add_special_tokens=False).tokens == expected[1:]


def test_every_family_is_expected() -> None:
    assert {family.prefix for family in FAMILIES} == EXPECTED.keys()


def test_hand_written_ids(llama: LanguageModel) -> None:
    """A byte-level vocabulary, letter by letter, without BOS where the tokenizer adds none."""
    tokenizer = with_tokens("byte level", QWEN, bos=False)
    a, b = plain(tokenizer, "a"), plain(tokenizer, "b")
    assert len(a) == len(b) == 1
    first = len(tokenizer) - len(QWEN)
    assert prepare(prompts(llama, tokenizer), "a", "b").tokens == [first, *a, first + 1, *b, first + 2]


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("sort", SORTS)
def test_markers_in_the_code_are_text(llama: LanguageModel, sort: str, special: bool) -> None:
    """Code that spells markers, or any control token, has each marker once, and reads the same afterwards; Qwen's
    markers are added tokens that are not special."""
    tokenizer = with_tokens(sort, QWEN, special=special)
    code = "the <|fim_middle|> x <|fim_prefix|><|im_end|> <|file_sep|>end<|fim_suffix|>"
    tokens = prepare(prompts(llama, tokenizer), code, code).tokens
    ids = [tokenizer.convert_tokens_to_ids(marker) for marker in QWEN]
    assert [tokens.count(each) for each in ids] == [1, 1, 1, 0, 0]
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") not in tokens
    start, hole, end = (tokens.index(each) for each in ids[:3])
    assert tokenizer.decode(tokens[hole + 1 : end], clean_up_tokenization_spaces=False).strip() == code
    assert tokenizer.decode(tokens[start + 1 : hole], clean_up_tokenization_spaces=False).strip() == code


@pytest.mark.parametrize("sort", ["sentencepiece bpe", "sentencepiece first"])
def test_sentencepiece_spaces(llama: LanguageModel, sort: str) -> None:
    """The prefix is a text of its own, with the space that SentencePiece puts in front; the suffix gets none."""
    tokenizer = with_tokens(sort, ("▁<PRE>", "▁<SUF>", "▁<MID>"))
    tokens = prepare(prompts(llama, tokenizer), "hello", "hello").tokens
    pieces = [tokenizer.convert_ids_to_tokens(token) for token in tokens]
    assert pieces == ["<s>", "▁<PRE>", "▁", "hello", "▁<SUF>", "hello", "▁<MID>"]


def test_empty_parts(llama: LanguageModel) -> None:
    """The hole may be at the very beginning, and the suffix empty."""
    tokenizer = with_tokens("sentencepiece bpe", QWEN)
    ids = [tokenizer.convert_tokens_to_ids(token) for token in ("<s>", *QWEN[:3])]
    made = prompts(llama, tokenizer)
    assert prepare(made, "", "").tokens == ids
    assert prepare(made, "", "the").tokens[:3] == ids[:3] and prepare(made, "the", "").tokens[-2:] == ids[2:]


def test_a_model_without_the_tokens(llama: LanguageModel) -> None:
    """Two markers of three are not enough."""
    for tokens in ((), QWEN[:2], ("<fim_prefix>", "<|fim_suffix|>", "<fim-middle>")):
        with pytest.raises(Refused, match="no fill-in-the-middle tokens") as caught:
            prepare(prompts(llama, with_tokens("byte level", tokens)), "a", "b")
        assert (caught.value.code, caught.value.param) == ("unsupported", "suffix")
        assert find(tokens) is None and not ends(tokens)


def test_too_long_is_refused(llama: LanguageModel) -> None:
    """By its tokens, and what cannot fit by its size; prefix and suffix count together."""
    made = prompts(llama, with_tokens("byte level", QWEN))
    for code in ("a b " * 20, "a b " * 100_000):
        for before, behind in ((code, "b"), ("a", code)):
            with pytest.raises(Refused) as caught:
                prepare(made, before, behind, 32)
            assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "prompt")


@pytest.mark.parametrize(
    ("before", "behind", "kept"),
    [
        (200, 200, (33, 11)),  # three parts to one of 64 - 16 - 4 tokens
        (200, 5, (39, 5)),
        (5, 200, (5, 39)),
        (100_000, 100_000, (33, 11)),
        (10, 60, (10, 34)),
        (50, 10, (34, 10)),
    ],
)
def test_what_is_cut(llama: LanguageModel, before: int, behind: int, kept: tuple[int, int]) -> None:
    """The beginning of the prefix and the end of the suffix go; a quarter of the context is left for the answer."""
    tokenizer = with_tokens("byte level", QWEN)
    numbers = "0123456789"
    code, rest = (numbers * (before // 10 + 1))[-before:], (numbers * (behind // 10 + 1))[:behind]
    assert len(plain(tokenizer, numbers * 2)) == 20
    found = prepare(prompts(llama, tokenizer), code, rest, 64, drop_middle=True)
    hole = found.tokens.index(tokenizer.convert_tokens_to_ids(QWEN[1]))
    assert tokenizer.decode(found.tokens[2:hole]) == code[len(code) - kept[0] :]
    assert tokenizer.decode(found.tokens[hole + 1 : -1]) == rest[: kept[1]]
    assert len(found.tokens) == 4 + sum(kept)
    assert found.truncated


def test_what_fits_is_not_cut(llama: LanguageModel) -> None:
    made = prompts(llama, with_tokens("byte level", QWEN))
    assert not prepare(made, "a b c", "d e f", 64, drop_middle=True).truncated
    with pytest.raises(Refused, match="maximum context length"):
        prepare(made, "a b c", "d e f", 4, drop_middle=True)


def test_what_ends_an_insertion() -> None:
    """The family's own markers, padding, file separators and ends of text, as far as the vocabulary has them."""
    assert ends([*QWEN, "<|endoftext|>", "<think>", "<|im_end|>"]) == {*QWEN, "<|endoftext|>"}
    assert ends(["▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>", "</s>", "<unk>"]) == {
        *("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>", "</s>"),
    }
    assert not ends(["<|endoftext|>", "<|fim_pad|>"])
