"""cuDNN's libraries are asked for on NVIDIA GPUs, and nowhere else is anything done."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest
from support.waiting import GUARD

from mlx_serve.daemon.engine.cuda import cudnn_files


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package with two libraries, of which one is gone, and a header."""
    library = tmp_path / "nvidia" / "cudnn" / "lib" / "libcudnn_graph.so.9"
    library.parent.mkdir(parents=True)
    library.write_bytes(bytes(cudnn_files.PART + 1))
    record = tmp_path / "made_up_cudnn-9.dist-info"
    record.mkdir()
    record.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: made-up-cudnn\nVersion: 9\n")
    names = ("lib/libcudnn_graph.so.9", "lib/libcudnn_gone.so.9", "include/cudnn.h")
    record.joinpath("RECORD").write_text("".join(f"nvidia/cudnn/{name},,\n" for name in names))
    monkeypatch.syspath_prepend(tmp_path)
    assert metadata.version("made-up-cudnn") == "9"
    return "made-up-cudnn"


def test_every_part_of_every_library(package: str, tmp_path: Path) -> None:
    paths = cudnn_files.libraries((package, "nobody-has-this"))
    assert [path.name for path in paths] == ["libcudnn_gone.so.9", "libcudnn_graph.so.9"]
    asked: list[tuple[int, int]] = []
    cudnn_files.read_ahead(paths, lambda _, offset, length: asked.append((offset, length)))
    assert asked == [(0, cudnn_files.PART), (cudnn_files.PART, cudnn_files.PART)]


@pytest.mark.parametrize("backend", ["cpu", "metal"])
def test_nothing_elsewhere(backend: str) -> None:
    assert cudnn_files.begin(backend) is None


@pytest.mark.skipif(sys.platform != "linux", reason="CUDA is for Linux")
def test_on_a_thread_with_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child goes on meanwhile."""
    (tmp_path / "libcudnn.so.9").write_bytes(b"x")
    monkeypatch.setattr(cudnn_files, "libraries", lambda: [tmp_path / "libcudnn.so.9"])
    thread = cudnn_files.begin("cuda")
    assert thread is not None
    thread.join(GUARD)
    assert not thread.is_alive()
