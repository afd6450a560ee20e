"""PyTorch beside us in one environment is left alone: no process of ours imports it, for any kind of model.

Transformers does so where it finds it, which takes seconds and hundreds of MB in every child."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.live_daemon import LiveDaemon
from support.sent_pictures import data_url, part, png

from mlx_serve.store.store import Store

STARTERS = ("starter", "starter-vl", "starter-embed", "starter-rerank")
INSTEAD = """
import pathlib, traceback
pathlib.Path(__file__).with_name("imported").write_text("".join(traceback.format_stack()))
"""


@pytest.fixture
def torch(tmp_path: Path) -> Path:
    """A package of that name, which tells who imports it."""
    packages = tmp_path / "packages"
    for name in ("torch", "torchvision"):
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").write_text(INSTEAD)
        (packages / f"{name}-2.9.0.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.9.0\n"
        (packages / f"{name}-2.9.0.dist-info" / "METADATA").write_text(metadata)
    return packages


@pytest.fixture
def daemon(torch: Path, tmp_path: Path) -> Iterator[LiveDaemon]:
    store = Store.open(tmp_path / "models")
    for name in STARTERS:
        store.pull(name)
    with LiveDaemon(tmp_path / "models", environ={"PYTHONPATH": str(torch)}, spare=True) as running:
        yield running.ready()


def test_nobody_imports_torch(daemon: LiveDaemon, torch: Path) -> None:
    """Counting without a model in memory, chat, a picture, embeddings, reranking and quantizing."""
    hi = [{"role": "user", "content": "hi"}]
    seen = [{"role": "user", "content": [{"type": "text", "text": "hi"}, part(data_url(png()))]}]
    asks: list[tuple[str, dict[str, Any]]] = [
        *(("/v1/tokenize", {"model": name, "input": "a"}) for name in STARTERS),
        ("/v1/chat/completions", {"model": "starter", "messages": hi, "max_tokens": 1}),
        ("/v1/chat/completions", {"model": "starter-vl", "messages": seen, "max_tokens": 1}),
        ("/v1/embeddings", {"model": "starter-embed", "input": "a"}),
        ("/v1/rerank", {"model": "starter-rerank", "query": "q", "documents": ["a"]}),
    ]
    for path, body in asks:
        answer = daemon.post(path, **body)
        assert answer.status == 200, (path, answer.body)
    done = daemon.command("quantize", "starter", "--bits", "8", "--name", "smaller")
    assert done.returncode == 0, done.stderr
    found = [path.read_text() for path in torch.glob("*/imported")]
    assert not found, found
