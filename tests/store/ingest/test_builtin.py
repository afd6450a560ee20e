"""The models that come with the program: whole, honest about themselves, and pulled like any other."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from mlx_serve.store.errors import UnknownModel
from mlx_serve.store.ingest import builtin
from mlx_serve.store.ingest.builtin import BUILTINS
from mlx_serve.store.inspect.weights import read_header
from mlx_serve.store.store import Store


@pytest.mark.parametrize("name", list(BUILTINS))
def test_every_built_in_model_is_shipped(name: str) -> None:
    """With what serving needs, a card and a licence."""
    folder = BUILTINS[name].folder
    for file in ("config.json", "tokenizer.json", "model.safetensors", "README.md", "LICENSE"):
        assert (folder / file).is_file(), file


def test_the_starter_says_what_it_is(store: Store) -> None:
    model = store.pull_builtin("starter")
    assert model.name.display() == "mlx-serve/starter"
    assert (model.manifest.kind, model.manifest.architecture) == ("llm", "qwen3")
    assert "8 million parameters" in model.manifest.kind_reason
    assert "for trying and testing" in model.manifest.kind_reason
    card = (store.view(model) / "README.md").read_text()
    assert "a few million parameters" in card
    assert "trained from nothing, on synthetic text alone" in card
    tensors = read_header(store.view(model) / "model.safetensors", "model.safetensors")
    assert model.manifest.parameters == sum(tensor.elements for tensor in tensors.values())
    assert (model.manifest.context_length, model.manifest.dtype) == (8192, "bfloat16")
    assert {"completion", "tools", "thinking"} <= set(model.manifest.capabilities)
    assert store.find("starter") == store.find("STARTER:latest") == model


@pytest.mark.parametrize(
    ("name", "kind", "capability", "made_as"),
    [
        ("starter-embed", "embedding", "embedding", "Qwen3-Embedding"),
        ("starter-rerank", "reranker", "rerank", "Qwen3-Reranker"),
    ],
)
def test_the_retrieval_models_say_what_they_are(
    store: Store, name: str, kind: str, capability: str, made_as: str
) -> None:
    model = store.pull_builtin(name)
    assert (model.manifest.kind, model.manifest.architecture) == (kind, "qwen3")
    assert model.manifest.capabilities == (capability,)
    assert made_as in model.manifest.kind_reason
    assert f"{model.manifest.parameters / 1e6:.1f} million parameters" in model.manifest.kind_reason
    assert "trained from nothing, on synthetic English text alone" in (store.view(model) / "README.md").read_text()
    assert model.manifest.context_length == 1024


def test_how_states_are_pooled_comes_with_the_embedding_model(store: Store) -> None:
    """The file lies in a folder of its own, as Sentence Transformers has it."""
    view = store.view(store.pull_builtin("starter-embed"))
    assert '"pooling_mode_lasttoken": true' in (view / "1_Pooling" / "config.json").read_text()


def test_pulling_the_starter_twice_changes_nothing(store: Store) -> None:
    assert store.pull_builtin("starter") == store.pull_builtin("mlx-serve/starter:latest")
    assert store.gc().blobs == 0


def test_an_unknown_built_in_lists_the_known_ones(store: Store) -> None:
    with pytest.raises(UnknownModel) as caught:
        store.pull_builtin("finisher")
    assert "starter" in (caught.value.hint or "")


def test_a_built_in_model_is_the_same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No time of today and no path of this machine is in its manifest."""
    one = Store.open(tmp_path / "one").pull("starter")
    shutil.copytree(builtin._SHIPPED, tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    monkeypatch.setattr(builtin, "_SHIPPED", tmp_path / "elsewhere")
    two = Store.open(tmp_path / "two").pull("mlx-serve/starter")
    assert one.digest == two.digest
    assert str(tmp_path) not in json.dumps(str(one.manifest))
