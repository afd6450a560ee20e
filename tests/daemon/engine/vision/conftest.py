"""The built-in model that sees, in this process."""

from __future__ import annotations

import pytest
from reference.vision_cases import MODEL

from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.vision.checkpoint import load_seeing
from mlx_serve.daemon.protocol import Load


@pytest.fixture(scope="session")
def starter() -> LanguageModel:
    request = Load(path=str(MODEL), name="starter-vl", kind="vlm", max_batch=8, prefill_tokens_per_step=512)
    return load_seeing(request)[0]
