"""A tokenizer that is opened alone is the loaded model's own: the same is told of it, and the same tokens come out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from reference.encoders import CASES, EMBEDDERS, write
from support.row_engine import RowEngine, order
from transformers import AutoTokenizer

from mlx_serve.daemon.engine.model.load import load
from mlx_serve.daemon.engine.model.model_folder import BadModel, UnsupportedModel
from mlx_serve.daemon.engine.prompt.main import preparer_of
from mlx_serve.daemon.engine.prompt.prompt_frames import ModelData, TokenizerData
from mlx_serve.daemon.engine.prompt.refused import Refused
from mlx_serve.daemon.engine.prompt.text.encoding import cleaned_up, open_encoding, tokenizer_data
from mlx_serve.daemon.engine.prompt.worker import Preparer
from mlx_serve.daemon.engine.tokenize.tokenizer_folder import open_tokenizer
from mlx_serve.daemon.engine.vision.checkpoint import load_seeing
from mlx_serve.daemon.protocol import ChatPrompt, Count, Detokenize, Kind, TextPrompt

BUILTINS = Path(__file__).parents[4] / "store" / "builtins"
TEXTS = ("Hello There, the hello!", "", "naïve 日本 🙂", "<|im_end|> [CLS] </s>", " two  spaces")


def counting(*texts: str, special: bool = True) -> Count:
    return Count(prompts=tuple(TextPrompt(text=text, add_special_tokens=special) for text in texts))


def alone(folder: Path, kind: Kind) -> Preparer:
    """What the tokenizer process works with."""
    data, model = open_tokenizer(order(folder, kind))
    return preparer_of(data, model, open_encoding(data))


@pytest.mark.parametrize("name", CASES)
def test_encoders_and_rerankers(tmp_path: Path, name: str) -> None:
    """Every embedding model is told of as its engine would; the tokens of both are the engine's own."""
    write(name, tmp_path)
    kind: Kind = "embedding" if name in EMBEDDERS else "reranker"
    made = (RowEngine.embedding if kind == "embedding" else RowEngine.reranking)(tmp_path / name)
    data, model = open_tokenizer(order(tmp_path / name, kind))
    if kind == "embedding":
        assert model == made.task.texts
    prompts = preparer_of(data, model, open_encoding(data))
    for special in (True, False):
        work = counting(*TEXTS, special=special)
        assert prompts.count(work) == made.prompts.preparer.count(work)
    ids = tuple(map(tuple, prompts.count(counting(*TEXTS))))
    for skip in (True, False):
        back = Detokenize(sequences=ids, skip_special_tokens=skip)
        assert prompts.detokenize(back) == made.prompts.preparer.detokenize(back)
        decode = AutoTokenizer.from_pretrained(tmp_path / name).decode
        assert prompts.detokenize(back) == [decode(list(each), skip_special_tokens=skip) for each in ids]


@pytest.mark.parametrize("name", ["starter", "starter-vl", "llama", "qwen3", "gemma3"])
def test_language_models(name: str, checkpoint: Callable[[str], Path]) -> None:
    """Those that see too, and how they do."""
    folder = BUILTINS / name if name.startswith("starter") else checkpoint(name)
    wanted = order(folder, "vlm" if name == "starter-vl" else "llm", context_length=77)
    data, model = open_tokenizer(wanted)
    told: list[TokenizerData] = []
    bring_in = load_seeing if wanted.kind == "vlm" else load
    engine, _ = bring_in(wanted, lambda *given: told.append(tokenizer_data(*given)))
    (of_engine,) = told
    assert msgspec.structs.replace(data, options={}) == msgspec.structs.replace(of_engine, options={})
    assert model == ModelData(rows=engine.rows, context_length=77, sight=engine.sight)
    assert (engine.sight is not None) == (name == "starter-vl")


def test_a_template_beside_the_processor(tmp_path: Path) -> None:
    """Where vision models keep it."""
    folder = tmp_path / "vl"
    shutil.copytree(BUILTINS / "starter-vl", folder)
    (folder / "chat_template.jinja").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": "{{ messages[0].content }}!"}))
    chat = ChatPrompt(messages=({"role": "user", "content": "hi"},))
    prompts = alone(folder, "vlm")
    assert prompts.count(Count(prompts=(chat,))) == prompts.count(counting("hi!"))


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [
        ("config.json", "{", BadModel),
        ("tokenizer.json", "[]", Exception),
        ("config.json", '{"auto_map": {"AutoConfig": "x.Y"}}', UnsupportedModel),
    ],
)
def test_folders_that_are_wrong(tmp_path: Path, file: str, content: str, error: type[Exception]) -> None:
    shutil.copytree(BUILTINS / "starter", tmp_path / "starter")
    (tmp_path / "starter" / file).write_text(content)
    with pytest.raises(error):
        open_tokenizer(order(tmp_path / "starter", "llm"))


def test_no_mlx_is_imported() -> None:
    """Nor by the process that stays, which has no Transformers either."""
    code = "import sys, {0}; print(*(name for name in ('mlx.core', 'transformers', 'numpy') if name in sys.modules))"
    found = {}
    for module in ("main", "opening"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(f"mlx_serve.daemon.engine.tokenize.{module}")],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        found[module] = done.stdout.split()
    assert found["main"] == [] and "mlx.core" not in found["opening"]


# limits


def test_texts_need_not_fit_the_context_but_have_a_limit() -> None:
    """4 MB where the context is small, all texts together."""
    prompts = alone(BUILTINS / "starter-embed", "embedding")
    (tokens,) = prompts.count(counting("word " * 5000))
    assert len(tokens) > 5000
    notes: list[int] = []
    prompts.note = notes.append
    prompts.count(counting("a" * 1000, "b" * 500))
    assert notes == [1500]
    with pytest.raises(Refused, match="at most 4194304 are tokenized at once") as refused:
        prompts.count(counting("x" * (2 << 20), "x" * (2 << 20), "y"))
    assert refused.value.param == "input"


@pytest.mark.parametrize(("name", "kind"), [("starter-embed", "embedding"), ("starter-rerank", "reranker")])
def test_messages_need_a_chat(name: str, kind: Kind) -> None:
    chat = ChatPrompt(messages=({"role": "user", "content": "hi"},))
    with pytest.raises(Refused, match="no chat") as refused:
        alone(BUILTINS / name, kind).count(Count(prompts=(chat,)))
    assert refused.value.param == "messages"


def test_ids_that_are_no_tokens() -> None:
    for name, kind in (("starter", "llm"), ("starter-embed", "embedding"), ("starter-rerank", "reranker")):
        prompts = alone(BUILTINS / name, kind)  # type: ignore[arg-type]
        with pytest.raises(Refused, match="no token 4096") as refused:
            prompts.detokenize(Detokenize(sequences=((1, 2), (4096,))))
        assert refused.value.param == "tokens"


def test_a_text_that_grows_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlx_serve.daemon.engine.prompt.text.encoding.MOST_TEXT", 10)
    with pytest.raises(Refused, match="more than 10 bytes"):
        alone(BUILTINS / "starter", "llm").detokenize(Detokenize(sequences=((20,) * 6, (20,) * 6)))


# Transformers' own code


def test_a_tokenizer_that_is_code_of_transformers(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ByT5Tokenizer"}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    prompts = alone(tmp_path, "llm")
    assert prompts.count(counting("hello é")) == [tokenizer("hello é")["input_ids"]]
    ids = tokenizer("hello é")["input_ids"]
    assert prompts.detokenize(Detokenize(sequences=(tuple(ids),))) == [tokenizer.decode(ids)]
    with pytest.raises(Refused, match=f"no token {len(tokenizer)}"):
        prompts.detokenize(Detokenize(sequences=((len(tokenizer),),)))


def test_blanks_that_wordpiece_puts_between() -> None:
    """Every sentence that Transformers' own clean-up changes, and none that it does not."""
    tokenizer: Any = AutoTokenizer.from_pretrained(BUILTINS / "starter")
    text = "do n't ! it 's , i 'm ; we 've . you 're ? a ' b"
    assert cleaned_up(text) == tokenizer.clean_up_tokenization(text) != text
