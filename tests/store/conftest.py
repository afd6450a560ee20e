"""Small real models on disk for the store's tests."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.hub.server import Hub

from mlx_serve.store.hub.fetch import timeouts
from mlx_serve.store.store import Store

BYTES = {"F32": 4, "BF16": 2, "F16": 2, "U32": 4, "U8": 1, "I32": 4}
TENSORS = {"model.embed_tokens.weight": ("F32", [8, 4]), "model.norm.weight": ("F32", [4])}
CONFIG = {
    "model_type": "qwen3",
    "architectures": ["Qwen3ForCausalLM"],
    "hidden_size": 4,
    "max_position_embeddings": 128,
}

Tensors = dict[str, tuple[str, list[int]]]
MakeModel = Callable[..., Path]


def safetensors(tensors: Tensors, fill: int = 0) -> bytes:
    header: dict[str, Any] = {}
    size = 0
    for name, (dtype, shape) in tensors.items():
        begin, size = size, size + math.prod(shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, size]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes([fill]) * size


@pytest.fixture
def pack() -> Callable[..., bytes]:
    """Tensors -> the bytes of a safetensors file."""
    return safetensors


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Write a model folder; `config` is laid over the usual one, `files` are path -> content (None: leave it out)."""

    def make(
        name: str = "tiny",
        *,
        config: dict[str, Any] | None = None,
        tensors: Tensors | None = None,
        files: dict[str, Any] | None = None,
        fill: int = 0,
    ) -> Path:
        folder = tmp_path / "sources" / name
        folder.mkdir(parents=True, exist_ok=True)
        contents: dict[str, Any] = {
            "config.json": CONFIG | (config or {}),
            "tokenizer.json": {"version": "1.0"},
            "model.safetensors": safetensors(TENSORS if tensors is None else tensors, fill),
        }
        for path, content in (contents | (files or {})).items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                target.unlink(missing_ok=True)
            elif isinstance(content, bytes):
                target.write_bytes(content)
            else:
                target.write_text(content if isinstance(content, str) else json.dumps(content))
        return folder

    return make


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing here asks the real hub, uses somebody's token or looks into somebody's cache."""
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub that pulls of this test go to, and no long pauses when it misbehaves."""
    monkeypatch.setattr(timeouts, "DEFAULT", timeouts.Timeouts(first_pause=0.01, max_pause=0.05))
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def make_files() -> Callable[..., dict[str, bytes]]:
    """The files of a repository that can be served; weights of about `size` bytes, different for each `seed`."""

    def make(size: int = 1000, seed: int = 0, **files: bytes) -> dict[str, bytes]:
        header = json.dumps({"model.norm.weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
        weights = len(header).to_bytes(8, "little") + header + random.Random(seed).randbytes(size)
        return {"config.json": json.dumps(CONFIG).encode(), "tokenizer.json": b"{}", "model.safetensors": weights} | {
            path.replace("__", "."): data for path, data in files.items()
        }

    return make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "models")
