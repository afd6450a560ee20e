"""What a quantization wrote: run it, read its weights, compare two results, write a checkpoint in another type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_serve.daemon.engine.quantize import conversion as engine
from mlx_serve.daemon.protocol import Kind, Quantize, Quantized


def quantized(
    source: Path, output: Path, kind: Kind = "llm", bits: int = 4, group_size: int = 32, mode: str = "affine"
) -> tuple[Quantized, list[tuple[int, int]]]:
    """What the engine says at its end and on the way; the files are in `output`."""
    output.mkdir()
    news: list[tuple[int, int]] = []
    order = Quantize(path=str(source), output=str(output), kind=kind, bits=bits, group_size=group_size, mode=mode)
    return engine.quantize(order, lambda done, total: news.append((done, total))), news


def weights(folder: Path) -> dict[str, mx.array]:
    return {name: array for file in folder.glob("*.safetensors") for name, array in mx.load(str(file)).items()}


def assert_same(ours: Path, theirs: Path) -> None:
    """Names, types, shapes and bits of every tensor, the index, and what config.json says of the quantization."""
    left, right = weights(ours), weights(theirs)
    assert left.keys() == right.keys()
    for name, array in left.items():
        other = right[name]
        assert (array.dtype, array.shape) == (other.dtype, other.shape), name
        assert mx.array_equal(array.reshape(-1).view(mx.uint8), other.reshape(-1).view(mx.uint8)).item(), name
    mine, reference = (json.loads((folder / "config.json").read_text()) for folder in (ours, theirs))
    assert mine["quantization"] == mine["quantization_config"] == reference["quantization"]


def restored(source: Path, folder: Path, dtype: str, config: dict[str, Any] | None = None) -> Path:
    """A checkpoint with its weights, and what config.json says of them, in another type."""
    folder.mkdir()
    cast = {name: array.astype(getattr(mx, dtype)) for name, array in weights(source).items()}
    mx.save_safetensors(str(folder / "model.safetensors"), cast, metadata={"format": "pt"})
    for file in source.glob("*.json"):
        (folder / file.name).write_bytes(file.read_bytes())
    changed = json.loads((source / "config.json").read_text()) | {"torch_dtype": dtype} | (config or {})
    (folder / "config.json").write_text(json.dumps(changed))
    return folder
