"""What the user's settings say of single models stands beside each of them, however it is named there."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlx_serve.store.disk.manifests import Overrides
from mlx_serve.store.installed import NOTHING, Defaults
from mlx_serve.store.store import Store


def said(key: str, **parameters: object) -> Defaults:
    return Defaults(key=key, overrides=Overrides(parameters=dict(parameters)), keep_alive=5, pinned=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "models")
    store.pull("starter-embed")
    store.copy("starter-embed", "mine")
    return store


@pytest.mark.parametrize("key", ["starter-embed", "mlx-serve/starter-embed:latest", "STARTER-embed", "quick"])
def test_they_are_found_by_every_name_of_the_model(store: Store, key: str) -> None:
    """Alias, short name, full name; in every listing; and a copy is another model."""
    defaults = said(key, seed=1)
    store.configure({"quick": "mlx-serve/starter-embed"}, {key: defaults})
    assert store.find("starter-embed").defaults == defaults == store.find("mlx-serve/starter-embed").defaults
    assert {model.name.model: model.defaults for model in store.models()} == {
        "starter-embed": defaults,
        "mine": NOTHING,
    }
    assert store.unmatched() == {}
    store.configure({}, {})
    assert store.find("starter-embed").defaults == NOTHING


def test_names_without_a_model_of_their_own_are_told(store: Store) -> None:
    """They count as soon as there is one."""
    store.configure(
        {}, {"later": said("later"), "mine": said("mine"), "local/mine": said("local/mine"), "a b": said("a b")}
    )
    found = store.unmatched()
    assert list(found) == ["later", "local/mine", "a b"]
    assert found["later"] == "model 'later' not found" and "not a valid model name" in found["a b"]
    assert found["local/mine"] == "it is the same model as 'mine', which counts"
    assert store.find("mine").defaults.key == "mine"
    store.copy("mine", "later")
    assert store.find("later").defaults.key == "later" and "later" not in store.unmatched()


def test_they_come_before_what_the_model_was_created_with(store: Store) -> None:
    """Parameter by parameter; an empty system prompt takes that one's away. The files belong to the same model."""
    store.create("mine", "made", Overrides(system="Old.", parameters={"seed": 1, "top_k": 2, "num_ctx": 100}))
    plain = store.find("made")
    assert (plain.context_length(None), plain.context_length(50)) == (100, 50)
    store.configure(
        {},
        {
            "made": Defaults(
                key="made", overrides=Overrides(system="", parameters={"seed": 3, "num_ctx": 200}), context_length=200
            )
        },
    )
    made = store.find("made")
    assert made.overrides == Overrides(parameters={"seed": 3, "top_k": 2, "num_ctx": 200})
    assert made.base == plain.base == store.find("mine").base
    assert (made.context_length(None), made.context_length(50)) == (200, 200), "the limit of all does not bound it"
