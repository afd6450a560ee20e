"""What an NVIDIA GPU has compiled for a model once is not waited for again, as long as it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlx_serve.daemon import protocol
from mlx_serve.daemon.engine import serve
from mlx_serve.daemon.engine.generate.engine_limits import Limits
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.warmup.warmed import Warmed

LOAD = protocol.Load(path="", name="x", kind="llm", max_batch=1, prefill_tokens_per_step=1)


class Prompts:
    def use_model(self, data: Any) -> None:
        """It needs none."""

    def use_grammars(self, compiler: Any) -> None:
        """Nor these."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, llama: LanguageModel) -> list[Any]:
    """Each warm-up; the model has the key `k`, and kernels are kept."""
    made: list[Any] = []
    monkeypatch.setattr(serve, "backend", lambda: "cuda")
    monkeypatch.setattr(serve, "warm_up", lambda *arguments: made.append(arguments))
    monkeypatch.setattr(llama, "trial", "k")
    monkeypatch.setenv("MLX_PTX_CACHE_DIR", str(tmp_path / "ptx"))
    return made


def loaded(model: LanguageModel) -> None:
    hello = protocol.Hello(protocol=0, pid=0, backend="cpu", device="this one", device_memory=1 << 30)
    serve._worker(model, LOAD, Limits(max_batch=2, tokens_per_step=64), 1 << 30, Prompts(), hello)  # type: ignore[arg-type]


def test_a_model_is_warmed_up_once(calls: list[Any], llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one, or the same under another version, for itself."""
    loaded(llama)
    loaded(llama)
    assert len(calls) == 1
    monkeypatch.setattr(llama, "trial", "other")
    loaded(llama)
    assert len(calls) == 2


def test_when_the_kernels_are_gone_it_is_warmed_up_again(
    calls: list[Any], llama: LanguageModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are compiled while the daemon hears that the load goes on, and not in the first step, which it might take
    for one that hangs."""
    loaded(llama)
    monkeypatch.setenv("MLX_PTX_CACHE_DIR", str(tmp_path / "another"))
    loaded(llama)
    assert len(calls) == 2


@pytest.mark.parametrize("why", ["nothing kept", "no key", "not NVIDIA"])
def test_where_nobody_knows_it_is_warmed_up_each_time(
    calls: list[Any], llama: LanguageModel, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    match why:
        case "nothing kept":
            monkeypatch.delenv("MLX_PTX_CACHE_DIR")
        case "no key":
            monkeypatch.setattr(llama, "trial", "")
        case _:
            monkeypatch.setattr(serve, "backend", lambda: "metal")
    loaded(llama)
    loaded(llama)
    assert len(calls) == 2


def test_what_fails_is_tried_again(
    calls: list[Any], llama: LanguageModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        calls.append(None)
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(serve, "warm_up", fail)
    loaded(llama)
    loaded(llama)
    assert len(calls) == 2 and capsys.readouterr().err.count("no such kernel") == 2


def test_a_disk_that_takes_nothing_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    warmed = Warmed({"MLX_PTX_CACHE_DIR": str(tmp_path / "file")})
    warmed.note("k")
    assert not warmed.has("k") and not Warmed({}).has("k")
