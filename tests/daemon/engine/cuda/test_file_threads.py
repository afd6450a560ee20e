"""Weights that several threads read are those of MLX, and what opens a network meanwhile notices nothing.

The threads are a gain on NVIDIA GPUs (docs/performance.md); here they read for the processor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_serve.daemon.engine.cuda.file_threads import FileThreads, file_threads
from mlx_serve.daemon.engine.model import load as load_module
from mlx_serve.daemon.engine.model.model_folder import BadModel
from mlx_serve.daemon.protocol import Load


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Nine arrays of several types and sizes."""
    types = (mx.bfloat16, mx.float32, mx.uint32)
    arrays = {str(n): mx.arange(1 + 1000 * n).astype(types[n % 3]).reshape(1, -1) for n in range(9)}
    mx.save_safetensors(str(tmp_path / "model.safetensors"), arrays)
    return str(tmp_path / "model.safetensors")


def equal(found: dict[str, mx.array], file: str) -> bool:
    expected: Any = mx.load(file)
    return found.keys() == expected.keys() and all(
        found[name].dtype == array.dtype and bool(mx.array_equal(found[name], array))
        for name, array in expected.items()
    )


def test_what_they_read_is_what_mlx_reads(file: str) -> None:
    load = mx.load
    with file_threads() as files:
        assert mx.load != load
        found: Any = mx.load(file)
        files.read()
    assert mx.load is load and equal(found, file)


def test_each_has_about_as_much_to_read(file: str) -> None:
    """Whatever the sizes are, over all files of a checkpoint."""
    files = FileThreads(mx.load)
    for _ in range(3):
        files.load(file)
    assert len(files._left) == 4 and max(files._bytes) - min(files._bytes) <= 9000 * 4


def test_what_looks_at_a_weight_before_is_not_kept_from_it(file: str) -> None:
    """Some architectures compute with their weights while they are named anew."""
    with file_threads() as files:
        found: Any = mx.load(file)
        assert mx.stack([found["1"], found["1"]]).sum().item() == 2 * sum(range(1001))
        assert int(found["8"][0, -1].item()) == 8000
        files.read()
    assert equal(found, file)


def test_what_nobody_reads_is_read_when_it_is_wanted(file: str) -> None:
    with file_threads():
        found: Any = mx.load(file)
    assert equal(found, file)


def test_other_files_and_options_are_those_of_mlx(file: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    with file_threads() as files:
        found: Any = mx.load(str(tmp_path / "other.npz"))
        _, metadata = mx.load(file, return_metadata=True)  # type: ignore[misc]
        assert found["a"].tolist() == [0, 1, 2] and isinstance(metadata, dict)
        files.read()


def test_a_damaged_file_is_told(file: str) -> None:
    """One that is too short, and one that is none; `mx.load` is itself again."""
    load, path = mx.load, Path(file)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(RuntimeError), file_threads() as files:
        mx.load(file)
        files.read()
    path.write_bytes(b"nothing")
    with pytest.raises(RuntimeError), file_threads():
        mx.load(file)
    assert mx.load is load


@pytest.mark.parametrize("name", ["llama", "qwen3_moe", "qwen3_next"])
def test_a_model_is_the_same(checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With weights that are stacked, split and turned when they are loaded."""
    tokens = mx.arange(9)[None]
    request = Load(path=str(checkpoint(name)), name="x", kind="llm", max_batch=2, prefill_tokens_per_step=64)
    expected = load_module.load(request)[0].network(tokens)
    monkeypatch.setattr(load_module, "_threads", file_threads)
    found = load_module.load(request)[0].network(tokens)
    assert bool(mx.array_equal(found, expected))


def test_a_damaged_model_is_refused(
    checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for path in checkpoint("llama").iterdir():
        content = path.read_bytes()
        (tmp_path / path.name).write_bytes(content[: len(content) // 2] if path.suffix == ".safetensors" else content)
    monkeypatch.setattr(load_module, "_threads", file_threads)
    with pytest.raises(BadModel):
        load_module.load(Load(path=str(tmp_path), name="x", kind="llm", max_batch=2, prefill_tokens_per_step=64))
