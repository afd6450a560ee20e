"""Makes the tiny random-weight checkpoints, from a seed, with numpy alone: the same bytes on every platform.

Weights come from PCG64's raw 64-bit stream, which numpy promises never to change, by exact float32 arithmetic.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from reference.architectures import SEEDS, Architecture, architecture
from reference.blocks import END_OF_TURN, VOCABULARY, Fill, Tensor
from reference.tokenizer_files import tokenizer, tokenizer_config
from safetensors.numpy import save_file

NAMES = tuple(SEEDS)
PROMPT_LENGTHS = (1, 2, 7, 15, 16, 17, 40, 70)
RANGES: dict[Fill, tuple[float, float]] = {
    "embedding": (-0.7, 0.7),
    "tied": (-0.12, 0.12),
    "one": (0.8, 1.2),
    "zero": (-0.2, 0.2),
    "loud": (2.0, 4.0),
    "decay": (-4.0, 0.0),
    "step": (0.0, 1.0),
}
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Checkpoint:
    """A folder in Hugging Face layout and the sha256 of what is in it (config, and every tensor by name)."""

    name: str
    folder: Path
    sha256: str


class Source:
    """Numbers from a seed that are the same everywhere."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> Floats:
        count = int(np.prod(shape))
        unit = (self._bits.random_raw(count) >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)
        return (np.float32(low) + unit * np.float32(high - low)).reshape(shape)

    def integers(self, count: int, below: int) -> list[int]:
        return [int(value % np.uint64(below)) for value in self._bits.random_raw(count)]


def _fill(source: Source, tensor: Tensor) -> Floats:
    shape = tensor.shape
    if tensor.fill == "matrix":
        # Twice the variance that keeps the scale: attention is sharp enough that the context decides the next token.
        bound = float(np.sqrt(6.0 / np.prod(shape[1:])))
        return source.uniform(shape, -bound, bound)
    return source.uniform(shape, *RANGES[tensor.fill])


def weights(model: Architecture) -> dict[str, Floats]:
    source = Source(model.seed)
    return {name: _fill(source, tensor) for name, tensor in model.tensors.items()}


def prompts() -> list[list[int]]:
    """Eight prompts of mixed lengths, ids of single bytes."""
    source = Source(1)
    return [source.integers(length, 256) for length in PROMPT_LENGTHS]


def make(name: str, parent: Path, *, seed: int | None = None) -> Checkpoint:
    """Write the checkpoint `name` to `parent/name`. `seed` replaces the chosen one."""
    model = architecture(name)
    if seed is not None:
        model = Architecture(name, seed, model.config, model.tensors)
    tensors = weights(model)
    folder = parent / name
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    files = {
        "config.json": model.config,
        "generation_config.json": {"eos_token_id": END_OF_TURN, "pad_token_id": VOCABULARY - 3},
        "tokenizer.json": tokenizer(VOCABULARY),
        "tokenizer_config.json": tokenizer_config(),
    }
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return Checkpoint(name, folder, digest(model, tensors))


def digest(model: Architecture, tensors: dict[str, Floats]) -> str:
    digest = hashlib.sha256(json.dumps(model.config, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].shape}\n".encode())
        digest.update(tensors[name].astype("<f4").tobytes())
    return digest.hexdigest()
