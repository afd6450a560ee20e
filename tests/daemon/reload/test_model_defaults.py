"""Settings of single models that do nothing are told, each with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from fakes.serving import fakes
from fakes.store import FakeStore

from mlx_serve.daemon.logs.sink import Logs
from mlx_serve.daemon.reload.model_defaults import ineffective
from mlx_serve.daemon.reload.reload import Reload
from mlx_serve.daemon.settings.effective_settings import load_settings
from mlx_serve.daemon.settings.one_model import OneModel
from mlx_serve.store.errors import StoreError


def test_what_does_nothing_for_a_model_is_told() -> None:
    """Of a kind that writes nothing all but context, idle time and pin; a budget of thoughts where there are none; and
    what the store says of names. What can work is not mentioned."""
    store: Any = FakeStore()
    for name, kind in (("acme/llm", "llm"), ("acme/vectors", "embedding"), ("acme/order", "reranker")):
        store.add(name, kind=kind)
    store.add("acme/thinker", capabilities=("completion", "thinking"))
    store.unmatched = lambda: {"none": "model 'none' not found"}
    everywhere = {"context_length": 100, "keep_alive": 5.0, "pin": True}
    found = ineffective(
        store,
        {
            "none": OneModel(seed=1),
            "acme/llm": OneModel(thinking_budget=5, temperature=1, **everywhere),
            "acme/thinker": OneModel(thinking_budget=5),
            "acme/vectors": OneModel(temperature=1, system="x", **everywhere),
            "acme/order": OneModel(**everywhere),
        },
    )
    assert found == {
        "none": "has no effect: model 'none' not found",
        "acme/llm": "has no effect in part: thinking_budget does nothing for a model that does not think",
        "acme/vectors": "has no effect in part: system, temperature do nothing for a model of the kind embedding",
    }


async def test_a_store_that_cannot_be_looked_into_does_not_fail_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The settings count all the same, and the log says what could not be done."""
    monkeypatch.setenv("MLX_SERVE_HOME", str(tmp_path))
    settings = load_settings({})
    made = fakes(settings, tmp_path / "views")

    def unreadable(*_: object) -> Any:
        raise StoreError("could not list the models: Permission denied")

    monkeypatch.setattr(made.residency, "renew", AsyncMock(side_effect=unreadable))
    monkeypatch.setattr(made.store, "unmatched", unreadable)
    (tmp_path / "config.yaml").write_text("server: {max_queue: 3}\n")
    done = await Reload(made.context, Logs(None, []), {}, settings).run()
    assert (done.renewal.changed, done.outdated, done.ineffective) == (("server.max_queue",), [], {})
    assert made.context.settings.server.max_queue == 3 and caplog.text.count("Permission denied") == 2
