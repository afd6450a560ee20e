"""Tiny embedding models and rerankers, loaded on first use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from reference.encoders import EMBEDDERS, write
from support.row_engine import RowEngine

Engine = Callable[[str], RowEngine]


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    parent = tmp_path_factory.mktemp("encoders")

    def folder(name: str) -> Path:
        if not (parent / name).exists():
            write(name, parent)
        return parent / name

    return folder


@pytest.fixture(scope="session")
def engine(encoder_folder: Callable[[str], Path]) -> Engine:
    engines: dict[str, RowEngine] = {}

    def made(name: str) -> RowEngine:
        if name not in engines:
            make = RowEngine.embedding if name in EMBEDDERS else RowEngine.reranking
            engines[name] = make(encoder_folder(name))
        return engines[name]

    return made
