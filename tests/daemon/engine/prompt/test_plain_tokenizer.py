"""A tokenizer that is opened without Transformers is the one that Transformers opens, or it is not opened so."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from mlx_serve.daemon.engine.grammar.trie import special, token_bytes
from mlx_serve.daemon.engine.output.detokenize import Vocabulary
from mlx_serve.daemon.engine.prompt.prompt_frames import TokenizerData
from mlx_serve.daemon.engine.prompt.text.encoding import open_encoding, tokenizer_data
from mlx_serve.daemon.engine.prompt.text.plain_tokenizer import PlainTokenizer, facts_of

BUILTINS = Path(__file__).parents[4] / "store" / "builtins"
NAMES = ("starter", "starter-vl", "starter-embed", "llama", "gemma3", "phi3", "qwen3_5")
"""Byte-level BPE, with template processors and without, and WordPiece, which cleans its texts up."""


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path]) -> Path:
    name: str = request.param
    return BUILTINS / name if name.startswith("starter") else checkpoint(name)


def opened(folder: Path, **options: Any) -> tuple[Any, TokenizerData | None, bytes]:
    """By Transformers, and what is known of it then."""
    tokenizer = AutoTokenizer.from_pretrained(str(folder), **options)
    text = (folder / "tokenizer.json").read_bytes()
    return tokenizer, facts_of(tokenizer, text, tokenizer_data(tokenizer, str(folder), options)), text


def texts(tokenizer: Any, count: int = 60) -> list[str]:
    """Of letters, blanks, signs, other scripts and the tokenizer's own tokens."""
    source = random.Random(5)
    parts = ["a", "the", " ", "\n", "\t", "'s", "é", "東京", "🙂", "12", ".", " ,", "<", "|", "\x00", " do n't"]
    parts += [str(entry) for entry in tokenizer.added_tokens_decoder.values()][:9]
    return ["".join(source.choices(parts, k=source.randrange(30))) for _ in range(count)]


def test_it_is_what_transformers_opens(folder: Path) -> None:
    tokenizer, facts, text = opened(folder)
    assert facts is not None
    plain = PlainTokenizer(text, facts).open()
    for each in texts(tokenizer):
        for around in (True, False):
            ids = tokenizer(each, add_special_tokens=around)["input_ids"]
            assert plain(each, add_special_tokens=around)["input_ids"] == ids
            for options in ({}, {"skip_special_tokens": True}, {"clean_up_tokenization_spaces": False}):
                assert plain.decode(ids, **options) == tokenizer.decode(ids, **options)
    assert plain.get_vocab() == tokenizer.get_vocab()
    for name in ("bos_token", "eos_token", "unk_token", "eos_token_id", "pad_token_id", "unk_token_id"):
        assert getattr(plain, name) == getattr(tokenizer, name)
    assert plain.convert_ids_to_tokens(5) == tokenizer.convert_ids_to_tokens(5)
    assert not hasattr(plain, "is_fast")


def test_the_engine_reads_the_same_vocabulary_from_it(folder: Path) -> None:
    """Bytes of tokens, those that are no text, and what stands in for grammars."""
    tokenizer, facts, text = opened(folder)
    assert facts is not None
    theirs, ours = Vocabulary(tokenizer), Vocabulary(PlainTokenizer(text, facts))
    rows = theirs.size
    assert (ours.added, ours.hidden, ours.size) == (theirs.added, theirs.hidden, rows)
    assert [ours.piece(token) for token in range(min(rows, 600))] == [
        theirs.piece(token) for token in range(min(rows, 600))
    ]
    assert special(ours, rows) == special(theirs, rows)
    if folder.name != "starter-embed":  # nobody knows the bytes of WordPiece
        assert token_bytes(ours, rows) == token_bytes(theirs, rows)
    ids = tokenizer("héllo 東京 the end")["input_ids"]
    assert ours.decode(ids) == theirs.decode(ids)


def test_the_prompt_process_does_the_same_with_it(folder: Path) -> None:
    """From the file and what is known, as from what Transformers gives."""
    tokenizer, facts, text = opened(folder)
    assert facts is not None
    data = PlainTokenizer(text, facts).data(str(folder), {})
    theirs, ours = open_encoding(tokenizer_data(tokenizer, str(folder), {})), open_encoding(data)
    assert ours.added == theirs.added
    assert ours.separable == theirs.separable  # type: ignore[attr-defined]
    for each in (*texts(tokenizer), "".join(texts(tokenizer))):
        for around in (True, False):
            assert ours.ids(each, special=around) == theirs.ids(each, special=around)
        assert ours.plain_ids(each) == theirs.plain_ids(each)
        assert ours.text(ours.ids(each)) == theirs.text(theirs.ids(each))
    late = PlainTokenizer(text, facts).open().data(str(folder), {})
    assert open_encoding(late).ids("the end", special=True) == theirs.ids("the end", special=True)


def test_the_file_is_let_go(folder: Path) -> None:
    """Tens of MB where the vocabulary is large."""
    _, facts, text = opened(folder)
    assert facts is not None
    plain = PlainTokenizer(text, facts)
    assert plain._content and not plain.open()._content


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[str, dict[str, Any]], Path]:
    """starter's folder, with other values in one of its files."""

    def change(name: str, values: dict[str, Any]) -> Path:
        shutil.copytree(BUILTINS / "starter", tmp_path / "model")
        path = tmp_path / "model" / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))
        return tmp_path / "model"

    return change


@pytest.mark.parametrize(
    "values",
    [
        {"added_tokens_decoder": {"4090": {"content": "<more>", "special": True}}},
        {"extra_special_tokens": ["<more>"]},
        {"pad_token": "<new pad>"},
    ],
    ids=["added", "extra", "named"],
)
def test_one_that_transformers_adds_to_is_left_to_it(
    changed: Callable[[str, dict[str, Any]], Path], values: dict[str, Any]
) -> None:
    """Its tokens are then others than the file's."""
    tokenizer, facts, text = opened(changed("tokenizer_config.json", values))
    if facts is not None:  # a version of Transformers that passes over it
        plain = PlainTokenizer(text, facts)
        assert plain.get_vocab() == tokenizer.get_vocab()
        assert {str(entry) for entry in plain.added_tokens_decoder.values()} == {
            str(entry) for entry in tokenizer.added_tokens_decoder.values()
        }
    if "pad_token" in values:
        assert facts is None


def test_one_that_does_otherwise_is_left_to_transformers(changed: Callable[[str, dict[str, Any]], Path]) -> None:
    """Whatever of it is different: here what a class of Python code does with texts."""
    tokenizer, facts, text = opened(changed("tokenizer_config.json", {}))
    assert facts is not None

    class Other:
        """It has its own way with one text."""

        def __getattr__(self, name: str) -> Any:
            return getattr(tokenizer, name)

        def __call__(self, each: str, **options: Any) -> Any:
            return tokenizer(each.replace("Hello", "Bye"), **options)

    data = tokenizer_data(tokenizer, "", {})
    assert facts_of(Other(), text, data) is None
    assert facts_of(tokenizer, text, tokenizer_data(Other(), "", {})) is None, "it is no plain one"


def test_a_damaged_file_is_told(changed: Callable[[str, dict[str, Any]], Path]) -> None:
    _, facts, text = opened(changed("tokenizer_config.json", {}))
    assert facts is not None
    with pytest.raises(Exception, match=r"EOF|expected|Cannot"):
        PlainTokenizer(text[: len(text) // 2], facts).open()
