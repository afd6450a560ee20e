"""What Transformers makes of a tokenizer is found out once, by a process of its own, and the next load does without."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.waiting import wait_until

from mlx_serve.daemon.engine.kernels.known_tokenizers import LEAST_BYTES, KnownTokenizers
from mlx_serve.daemon.engine.model import load as load_module
from mlx_serve.daemon.engine.model.load import load
from mlx_serve.daemon.engine.prompt.text.plain_tokenizer import PlainTokenizer
from mlx_serve.daemon.engine.warmup import learning
from mlx_serve.daemon.engine.warmup.learning import Learning
from mlx_serve.daemon.protocol import Load


@pytest.fixture
def folder(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A tiny model with a tokenizer.json that is as large as a real one's."""
    folder = tmp_path / "model"
    shutil.copytree(checkpoint("llama"), folder)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text() + " " * LEAST_BYTES)
    return folder


@pytest.fixture
def known(tmp_path: Path) -> KnownTokenizers:
    return KnownTokenizers(tmp_path / "home" / "cache" / "tokenizers")


def finish(rest: Learning) -> None:
    """Call it until it wants no more."""
    wait_until(lambda: rest() is None, "it has found out")


def bring_in(folder: Path, known: KnownTokenizers, told: list[Any] | None = None) -> Any:
    kernels = str(known.root.with_name("kernels"))
    request = Load(path=str(folder), name="x", kind="llm", max_batch=2, prefill_tokens_per_step=64, kernels=kernels)
    told = [] if told is None else told
    return load(request, lambda tokenizer, *_: told.append(tokenizer))


def test_the_next_load_does_without_transformers(
    folder: Path, known: KnownTokenizers, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    before, loaded = bring_in(folder, known)
    assert not isinstance(before.tokenizer, PlainTokenizer)
    rest = Learning(folder, known)
    assert rest() == learning.POLL_SECONDS
    finish(rest)
    assert not known.wants(folder) and not capfd.readouterr().err
    monkeypatch.setattr(load_module.AutoTokenizer, "from_pretrained", lambda *_, **__: pytest.fail("it was asked"))
    told: list[Any] = []
    after, again = bring_in(folder, known, told)
    assert told == [after.tokenizer] and isinstance(after.tokenizer, PlainTokenizer)
    assert again.capabilities == loaded.capabilities
    names = ("stop_tokens", "insertion_ends", "added", "adds_special", "family")
    assert [getattr(after, name) for name in names] == [getattr(before, name) for name in names]
    assert after.vocabulary.decode([5, 60, 300]) == before.vocabulary.decode([5, 60, 300])


def test_the_prompt_process_begins_before_the_engine(
    folder: Path, known: KnownTokenizers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told before this process has opened the tokenizer, which for a large one takes a second."""
    finish(Learning(folder, known))
    order: list[str] = []
    opens = PlainTokenizer.open

    def opened(tokenizer: PlainTokenizer) -> PlainTokenizer:
        order.append("open")
        return opens(tokenizer)

    monkeypatch.setattr(PlainTokenizer, "open", opened)
    options = {"trust_remote_code": False}
    load_module._open_tokenizer(folder, lambda *given: order.append(f"tell {given[2] == options}"), known)
    assert order == ["tell True", "open"]


def test_it_is_found_out_once(folder: Path, known: KnownTokenizers, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(Learning(folder, known))
    monkeypatch.setattr(learning.subprocess, "Popen", lambda *_, **__: pytest.fail("once more"))
    assert Learning(folder, known)() is None
    assert Learning(folder, None)() is None, "where nothing is kept, nothing is looked for"


def test_one_that_is_no_plain_one_is_known_too(folder: Path, known: KnownTokenizers) -> None:
    """So that nobody tries again, and Transformers opens it."""
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": "<new pad>"}))
    finish(Learning(folder, known))
    assert known.read(folder) == b"null" and not known.wants(folder)
    model, _ = bring_in(folder, known)
    assert not isinstance(model.tokenizer, PlainTokenizer) and model.tokenizer.pad_token == "<new pad>"


@pytest.mark.parametrize("kept", [b"{}", b"[1]", b"not JSON", b'{"names": {"a": 1}}'])
def test_what_another_version_has_kept_is_passed_over(folder: Path, known: KnownTokenizers, kept: bytes) -> None:
    known.keep(folder, kept)
    model, _ = bring_in(folder, known)
    assert not isinstance(model.tokenizer, PlainTokenizer)


def test_what_goes_wrong_is_told_once(
    folder: Path, known: KnownTokenizers, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tokenizer_config.json").write_text("nothing")
    rest = Learning(folder, known)
    finish(rest)
    said = capfd.readouterr().err
    assert said.startswith("learn tokenizer: ") and said.count("\n") == 1 and "Traceback" not in said
    assert rest() is None and not capfd.readouterr().err
    monkeypatch.setattr(sys, "executable", str(folder / "none"))
    assert Learning(folder, known)() is None
    assert "No such file" in capfd.readouterr().err


def test_the_process_ends_with_the_engine_and_gives_way(folder: Path, known: KnownTokenizers) -> None:
    """At the lowest priority."""
    psutil = pytest.importorskip("psutil")
    rest = Learning(folder, known)
    rest()
    assert rest._process is not None
    process = psutil.Process(rest._process.pid)
    wait_until(lambda: not process.is_running() or process.nice() == 19 or rest() is None, "it gives way")
    finish(rest)
