"""Blocks of a few tokens in place of 256, so that short prompts have many."""

from __future__ import annotations

import pytest

from mlx_serve.daemon.engine.generate import prompts_on_disk, rereading, reuse
from mlx_serve.daemon.engine.prefix import chain, known_texts, layers, match, prefix_cache, recording
from mlx_serve.daemon.engine.prefix.disk import cache_layout, write_behind
from mlx_serve.daemon.engine.prefix.disk.reading import block_reader, read_back, run_memory

_MODULES = (
    *(block_reader, cache_layout, read_back, run_memory, write_behind),
    *(chain, known_texts, layers, match, prefix_cache, recording, rereading, reuse),
)


def blocks_of(size: int, monkeypatch: pytest.MonkeyPatch, *, least: int = 0) -> None:
    """Texts of more than `least` tokens go to the disk, where there is one."""
    for module in _MODULES:
        monkeypatch.setattr(module, "BLOCK", size)
    monkeypatch.setattr(recording, "SNAPSHOT_EVERY", 4 * size)
    for module in (prompts_on_disk, write_behind):
        monkeypatch.setattr(module, "LEAST_TOKENS", least)
    monkeypatch.setattr(prompts_on_disk, "LOOK_SECONDS", 0.0)
    for other in (prompts_on_disk, rereading, reuse):
        monkeypatch.setattr(other, "LEAST_GAIN", 4)
