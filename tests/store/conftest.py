"""Small real models on disk for the store's tests."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "models")
