"""The real models in a store, and one daemon that serves them. Without `make real` they are not asked for."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real.cases import CASES
from real.folder import folder
from real.wheels import GEMMA3, SMOLLM2, Weights
from support.live_daemon import LiveDaemon

from mlx_serve.store.store import Store

collect_ignore_glob = (
    [] if os.environ.get("MLX_SERVE_REAL") else ["test_real_models.py", "test_real_minilm.py", "test_real_texts.py"]
)
RECORDED = Path(__file__).with_name("recorded")


def recorded(weights: Weights) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RECORDED / f"{weights.name}.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="session")
def answers() -> dict[str, dict[str, Any]]:
    """What Transformers answered, by the name of the case."""
    found = recorded(SMOLLM2)["answers"] | recorded(GEMMA3)["answers"]
    assert found.keys() == {case.name for case in CASES}
    return found


@pytest.fixture(scope="session")
def daemon() -> Iterator[LiveDaemon]:
    """A daemon with both models and eight bits of SmolLM2. A short home, for its socket."""
    with tempfile.TemporaryDirectory(prefix="mlxs-", dir="/tmp") as home:
        store = Store.open(Path(home, "models"))
        for weights in (SMOLLM2, GEMMA3):
            store.pull(str(folder(weights)))
        with LiveDaemon(home=Path(home), cache_max_llm_models=3) as running:
            yield running.ready()
