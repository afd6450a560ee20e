"""MLX in this process, on the CPU, for the parts of the engine that need no child; and the tiny models they run."""

from __future__ import annotations

import os
import resource
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def _import_mlx() -> None:
    """Importing mlx_lm lowers the limit of open files for good, so it meets a setrlimit that does nothing."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    original: Any = resource.setrlimit
    resource.setrlimit = lambda *_: None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mlx.core as mx
            import mlx_lm.utils  # noqa: F401
            import transformers  # noqa: F401
    finally:
        resource.setrlimit = original
    mx.set_default_device(mx.cpu)
    mx.disable_compile()  # as a child does on a CPU


_import_mlx()

import mlx.core as mx  # noqa: E402
from reference.checkpoints import make  # noqa: E402

from mlx_serve.daemon.engine.model.load import LanguageModel, load  # noqa: E402
from mlx_serve.daemon.protocol import Load  # noqa: E402


@pytest.fixture(autouse=True)
def _numbers() -> None:
    """Weights that a test draws are the same whatever ran before it."""
    mx.random.seed(7)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here asks the hub. Only here: other tests let the same library ask a hub of their own."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny checkpoint, made on first use."""
    parent = tmp_path_factory.mktemp("tiny")
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = make(name, parent).folder
        return made[name]

    return folder


@pytest.fixture(scope="session")
def loaded(checkpoint: Callable[[str], Path]) -> Callable[[str], LanguageModel]:
    """A tiny model in this process, loaded on first use."""
    models: dict[str, LanguageModel] = {}

    def model(name: str) -> LanguageModel:
        if name not in models:
            request = Load(path=str(checkpoint(name)), name=name, kind="llm", max_batch=8, prefill_tokens_per_step=512)
            models[name] = load(request)[0]
        return models[name]

    return model


@pytest.fixture(scope="session")
def llama(loaded: Callable[[str], LanguageModel]) -> LanguageModel:
    return loaded("llama")
