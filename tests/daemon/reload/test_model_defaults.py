"""Settings of single models that do nothing are told, each with the reason."""

from __future__ import annotations

from typing import Any

from fakes.store import FakeStore

from mlx_serve.daemon.reload.model_defaults import ineffective
from mlx_serve.daemon.settings.one_model import OneModel


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
