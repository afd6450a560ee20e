"""What a load finds out by running a network, and what it need not find out again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache

from mlx_serve.daemon.engine.kernels import trial_results
from mlx_serve.daemon.engine.kernels.kernel_files import KernelFiles
from mlx_serve.daemon.engine.kernels.trial_results import TrialResults
from mlx_serve.daemon.engine.model import trial
from mlx_serve.daemon.engine.model.compiled_layers import functions
from mlx_serve.daemon.engine.model.forward import BatchedForward
from mlx_serve.daemon.engine.model.inputs import Inputs
from mlx_serve.daemon.engine.model.load import LanguageModel, load
from mlx_serve.daemon.protocol import Load


@pytest.fixture
def folder(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    shutil.copytree(checkpoint("qwen3"), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One for each time that compiled layers are compared with plain ones, and whether they were the same."""
    made: list[bool] = []
    works = trial.compiled_works

    def noted(network: Any, *, ragged: bool) -> bool:
        made.append(works(network, ragged=ragged))
        return made[-1]

    monkeypatch.setattr(trial, "compiled_works", noted)
    return made


def bring_in(folder: Path) -> LanguageModel:
    kernels = str(folder.parent / "home" / "cache" / "kernels")
    return load(Load(path=str(folder), name="x", kind="llm", max_batch=8, prefill_tokens_per_step=64, kernels=kernels))[
        0
    ]


def files(folder: Path) -> list[Path]:
    return sorted((folder.parent / "home" / "cache" / "trials").glob("*/*.txt"))


def step(model: LanguageModel) -> np.ndarray[Any, Any]:
    caches = make_prompt_cache(model.network)
    model.network(mx.arange(7)[None], cache=caches)
    forward = BatchedForward(model.network, 0)
    forward.join(caches, [(0, 7)])
    return np.array(forward(Inputs(mx.array([[5]]))))


def test_what_was_found_out_once_is_not_tried_again(folder: Path, tries: list[bool]) -> None:
    """The second load compiles the same layers, which rests may fuse before any answer, and gives the same numbers."""
    first, second = bring_in(folder), bring_in(folder)
    assert tries == [True]
    assert len(functions(second.network)) == len(functions(first.network)) > 0
    np.testing.assert_array_equal(step(second), step(first))


@pytest.mark.parametrize("works", [True, False])
def test_rows_have_pages_where_that_gives_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch, works: bool) -> None:
    """Tried where attention reads them, and what works is not tried again."""
    asked: list[bool] = []
    monkeypatch.setattr(trial.attention, "pays", lambda caches: True)
    monkeypatch.setattr(trial.attention, "pageable", lambda caches: True)

    def tried(network: Any, *, paged: bool = False) -> bool:
        asked.append(paged)
        return works or not paged

    monkeypatch.setattr(trial, "ragged_works", tried)
    assert [bring_in(folder).costs.paged for _ in range(2)] == [works, works]
    assert asked == ([False, True] if works else [False, True, True])


@pytest.mark.parametrize("works", [True, False])
def test_rows_have_beginnings_in_common_where_that_gives_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    """Tried where attention reads them and rows have pages, and what works is not tried again."""
    asked: list[bool] = []
    for name in ("pays", "pageable", "reads_beginnings"):
        monkeypatch.setattr(trial.attention, name, lambda _: True)
    monkeypatch.setattr(trial, "beginnings_work", lambda network: asked.append(True) or works)
    monkeypatch.setattr(trial, "ragged_works", lambda network, paged=False: True)
    assert [bring_in(folder).beginnings for _ in range(2)] == [works, works]
    assert len(asked) == (1 if works else 2)
    monkeypatch.setattr(trial.attention, "pageable", lambda _: False)
    assert not bring_in(folder).beginnings


@pytest.mark.parametrize("damage", [b"", b"compiled", b"compiled" + bytes(32)], ids=["empty", "cut", "changed"])
def test_a_damaged_result_is_none(folder: Path, tries: list[bool], damage: bytes) -> None:
    bring_in(folder)
    (file,) = files(folder)
    file.write_bytes(damage)
    bring_in(folder)
    assert tries == [True, True]
    assert file.read_bytes().startswith(b"compiled rate=")


def test_another_model_is_another_key(folder: Path, tries: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever decode steps depend on: what is configured, the types of the weights, the engine's own code."""
    bring_in(folder)
    config = folder / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"rms_norm_eps": 1e-3}))
    bring_in(folder)
    config.write_text(json.dumps(content))
    weights = mx.load(str(folder / "model.safetensors"))
    halves = {name: array.astype(mx.float16) for name, array in weights.items()}
    monkeypatch.setattr("mlx_serve.daemon.engine.model.load.widen", lambda network, memory: "")
    mx.save_safetensors(str(folder / "model.safetensors"), halves, metadata={"format": "mlx"})
    bring_in(folder)
    monkeypatch.setattr(trial_results, "_code", lambda: b"another version")
    bring_in(folder)
    assert len(tries) == len(files(folder)) == 4


def test_what_did_not_work_is_tried_at_the_next_load(
    folder: Path, tries: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been memory that was short. The environment's word against compiling holds for what is known, too."""
    with monkeypatch.context() as refused:
        refused.setenv("MLX_DISABLE_COMPILE", "1")
        bring_in(folder)
        assert tries == [False] and b"compiled" not in files(folder)[0].read_bytes()
    bring_in(folder)
    assert tries == [False, True]
    monkeypatch.setenv("MLX_DISABLE_COMPILE", "1")
    assert not functions(bring_in(folder).network)


def test_results_that_cannot_be_kept(tmp_path: Path) -> None:
    """A full or a foreign disk costs the next load a trial, and this one nothing; nor does it wait for a process that
    writes there and has stopped."""
    (tmp_path / "file").write_bytes(b"")
    kept = TrialResults(tmp_path / "file" / "trials")
    kept.keep("a", ["compiled"])
    assert kept.read("a") == frozenset()
    kept = TrialResults(tmp_path / "trials")
    with KernelFiles(tmp_path / "trials", "another").alone():
        kept.keep("a", ["compiled"])
    assert kept.read("a") == frozenset()
    kept.keep("a", ["compiled"])
    assert kept.read("a") == {"compiled"}


def test_one_run_shows_the_caches_and_the_pace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a processor a run is not repeated, and what is slow is not tried with more tokens. The next load needs
    none, and the facts are the same."""
    monkeypatch.setattr(trial, "SECONDS", 0.0)
    runs: list[int] = []
    monkeypatch.setattr("mlx_lm.models.qwen3.Model.__call__", _counted(runs))
    first = bring_in(folder)
    assert runs[0] == trial.TOKENS["cpu"][0] and max(runs[1:]) < 4
    monkeypatch.delattr(trial, "_run")
    second = bring_in(folder)
    for fact in ("rows", "costs", "weight_bytes", "batchable", "paddable", "ragged"):
        assert getattr(second, fact) == getattr(first, fact)
    assert second.prefill_rate == pytest.approx(first.prefill_rate, rel=1e-3)


def _counted(runs: list[int]) -> Callable[..., mx.array]:
    from mlx_lm.models.qwen3 import Model

    plain = Model.__call__

    def call(self: Any, inputs: mx.array, *more: Any, **options: Any) -> mx.array:
        runs.append(inputs.shape[1])
        return plain(self, inputs, *more, **options)

    return call
