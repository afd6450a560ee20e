"""The built-in model that sees, and a tiny one of each architecture, in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from reference.vision_cases import MODEL
from reference.vision_checkpoint import write

from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.vision.checkpoint import load_seeing
from mlx_serve.daemon.engine.vision.seeing import SeeingNetwork
from mlx_serve.daemon.protocol import Load


@pytest.fixture(scope="session")
def starter() -> LanguageModel:
    request = Load(path=str(MODEL), name="starter-vl", kind="vlm", max_batch=8, prefill_tokens_per_step=512)
    return load_seeing(request)[0]


@pytest.fixture(scope="session")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LanguageModel]:
    """By its name in `reference.vision_models`, loaded on first use."""
    parent, models = tmp_path_factory.mktemp("seeing"), {}

    def model(name: str) -> LanguageModel:
        if name not in models:
            write(name, parent)
            folder = parent / name
            request = Load(path=str(folder), name=name, kind="vlm", max_batch=8, prefill_tokens_per_step=512)
            models[name] = load_seeing(request)[0]
        return models[name]

    return model


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many features each picture had that was looked at."""
    found: list[int] = []
    look = SeeingNetwork.look

    def counted(self: SeeingNetwork, arrays: Any) -> Any:
        given = look(self, arrays)
        found.append(given[0].shape[1])
        return given

    monkeypatch.setattr(SeeingNetwork, "look", counted)
    return found
