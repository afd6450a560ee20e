"""Compiled CPU kernels go from one child to the next, and nothing that somebody else may have put there."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest
from reference.checkpoints import make
from support.extent import only_long
from support.waiting import GUARD

from mlx_serve.daemon import protocol
from mlx_serve.daemon.workers import kernel_cache
from mlx_serve.daemon.workers.runner import Runner

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="MLX compiles kernels for CPUs on Linux only")
NAME = Path("mlx", "0.0.1", "cpu", "libkernel.so")


def libraries(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.so")}


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """A child's TMPDIR, in which it has compiled a kernel."""
    path = tmp_path / "child" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a library")
    path.with_suffix(".cpp").write_bytes(b"its source")
    return tmp_path / "child"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_what_one_child_compiled_the_next_one_has(temporary: Path, cache: Path, tmp_path: Path) -> None:
    kernel_cache.collect(temporary, cache)
    assert [path.name for path in cache.rglob("*") if path.is_file()] == ["libkernel.so"]
    kernel_cache.lend(cache, tmp_path / "next")
    assert libraries(tmp_path / "next") == {str(NAME): b"a library"}
    (temporary / NAME).write_bytes(b"another one")
    kernel_cache.collect(temporary, cache)
    assert set(libraries(cache).values()) == {b"a library"}, "the first one stays"


def test_it_is_bounded(temporary: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        (temporary / NAME).with_name(f"lib{number}.so").write_bytes(b"x" * 100)
    with monkeypatch.context() as bounded:
        bounded.setattr(kernel_cache, "MOST_BYTES", 250)
        kernel_cache.collect(temporary, cache)
    assert sum(map(len, libraries(cache).values())) <= 250
    monkeypatch.setattr(kernel_cache, "MOST_FILES", 4)
    kernel_cache.collect(temporary, cache)
    assert len(libraries(cache)) == 4


@pytest.mark.parametrize("mode", [0o770, 0o777])
def test_a_folder_that_others_may_write_to_lends_nothing(
    temporary: Path, cache: Path, tmp_path: Path, mode: int
) -> None:
    kernel_cache.collect(temporary, cache)
    (folder,) = (cache / "cpu").iterdir()
    folder.chmod(mode)
    kernel_cache.lend(cache, tmp_path / "next")
    assert not (tmp_path / "next").exists()
    shutil.copy(temporary / NAME, (temporary / NAME).with_name("libmore.so"))
    kernel_cache.collect(temporary, cache)
    assert len(libraries(cache)) == 1


def test_links_are_not_followed(temporary: Path, cache: Path, tmp_path: Path) -> None:
    """Neither a library that is one nor a folder."""
    kernel_cache.collect(temporary, cache)
    (folder,) = (cache / "cpu").iterdir()
    (tmp_path / "elsewhere.so").write_bytes(b"not ours")
    (folder / "libodd.so").symlink_to(tmp_path / "elsewhere.so")
    kernel_cache.lend(cache, tmp_path / "next")
    assert set(libraries(tmp_path / "next").values()) == {b"a library"}
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    kernel_cache.lend(cache, tmp_path / "last")
    assert not (tmp_path / "last").exists()


def test_a_cache_that_cannot_be_written_is_done_without(temporary: Path, cache: Path, tmp_path: Path) -> None:
    cache.write_bytes(b"a file where a folder should be")
    kernel_cache.collect(temporary, cache)
    kernel_cache.lend(cache, tmp_path / "next")
    assert not (tmp_path / "next").exists()


@only_long
@pytest.mark.skipif(shutil.which("g++") is None, reason="MLX compiles nothing without a compiler")
async def test_the_second_child_compiles_nothing(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real ones: the first leaves its libraries, the second loads them and writes no source."""
    monkeypatch.delenv("MLX_DISABLE_COMPILE", raising=False)
    folder = make("llama", tmp_path / "sources").folder
    request = protocol.Load(name="acme/llama", path=str(folder), kind="llm", max_batch=2, prefill_tokens_per_step=64)
    sources = []
    for _ in range(2):
        one = await Runner.spawn(cache=cache)
        await asyncio.wait_for(one.load(request, GUARD), GUARD)
        sources.append({path.name for path in one._child._scratch.path.rglob("*.cpp")})
        await one.close()
    assert sources[0] and not sources[1]
    assert len(libraries(cache)) == len(sources[0])
