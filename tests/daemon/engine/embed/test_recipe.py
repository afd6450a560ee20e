"""Sentence Transformers' files in the spellings of their versions, and what of them is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlx_serve.daemon.engine.embed.recipe import read_recipe
from mlx_serve.daemon.engine.model.model_folder import BadModel, UnsupportedModel
from mlx_serve.daemon.engine.texts.prompts_by_name import prompt_before

OLD, NEW = "sentence_transformers.models.", "sentence_transformers.sentence_transformer.modules."


def modules(*kinds: str, prefix: str = OLD) -> list[dict[str, Any]]:
    return [{"path": f"{n}_{kind}" if n else "", "type": prefix + kind} for n, kind in enumerate(kinds)]


def write(folder: Path, **files: Any) -> Path:
    for path, content in files.items():
        place = folder / (path.replace("__", "/") + ".json")
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(content))
    return folder


def recipe(folder: Path, *, name: str = "a/b", decoder: bool = False, **config: Any) -> Any:
    return read_recipe(folder, config, name, decoder=decoder)


@pytest.mark.parametrize(
    ("config", "modes"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ("cls",)),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, ("max", "mean")),
        ({"pooling_mode_lasttoken": True}, ("lasttoken",)),
        ({"word_embedding_dimension": 8}, ("mean",)),
        ({"embedding_dimension": 8, "pooling_mode": "weightedmean"}, ("weightedmean",)),
        ({"pooling_mode": ["cls", "mean"]}, ("cls", "mean")),
    ],
)
def test_pooling_in_old_and_new_spelling(tmp_path: Path, config: dict[str, Any], modes: tuple[str, ...]) -> None:
    listed = modules("Transformer", "Pooling", "Normalize", prefix=NEW)
    found = recipe(write(tmp_path, modules=listed, **{"1_Pooling__config": config}))
    assert found.pooling == modes and found.normalize and found.with_prompt


def test_without_a_normalising_step_vectors_stay_as_they_are(tmp_path: Path) -> None:
    listed = modules("Transformer", "Pooling")
    assert not recipe(write(tmp_path, modules=listed, **{"1_Pooling__config": {}})).normalize


def test_without_any_files_a_decoder_is_read_off_its_last_token(tmp_path: Path) -> None:
    """And an encoder off the mean; both are normalised, as OpenAI's vectors are."""
    assert (recipe(tmp_path, decoder=True).pooling, recipe(tmp_path).pooling) == (("lasttoken",), ("mean",))
    assert recipe(tmp_path).normalize


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (("Transformer", "Pooling", "LSTM"), "LSTM"),
        (("Transformer", "Dense", "Pooling"), "Dense"),
        (("Transformer", "Normalize"), "Normalize"),
        (("Transformer",), "no Pooling"),
        (("Transformer", "Pooling", "Normalize", "Dense"), "Dense step after"),
        (("StaticEmbedding", "Pooling"), "StaticEmbedding"),
    ],
)
def test_steps_that_nobody_knows_are_refused_by_name(tmp_path: Path, kinds: tuple[str, ...], said: str) -> None:
    write(tmp_path, modules=modules(*kinds), **{"1_Pooling__config": {}, "2_Pooling__config": {}})
    with pytest.raises(UnsupportedModel, match=said):
        recipe(tmp_path)


def test_a_module_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    listed = [*modules("Transformer"), {"path": "../elsewhere", "type": OLD + "Pooling"}]
    with pytest.raises(BadModel, match="not the model's"):
        recipe(write(tmp_path, modules=listed))


@pytest.mark.parametrize(
    ("card", "name", "config", "shortens"),
    [
        ("trained with MatryoshkaLoss", "a/b", {}, True),
        ("| MRL Support | yes |", "a/b", {}, True),
        ("a plain model", "a/b", {"matryoshka_dimensions": [64, 128]}, True),
        ("a plain model", "mlx-community/Qwen3-Embedding-0.6B-4bit", {}, True),
        ("a plain model", "google/embeddinggemma-300m", {}, True),
        ("a plain model about URLs", "a/b", {}, False),
    ],
)
def test_who_may_be_shortened(tmp_path: Path, card: str, name: str, config: dict[str, Any], shortens: bool) -> None:
    (tmp_path / "README.md").write_text(card)
    assert recipe(tmp_path, name=name, **config).shortens is shortens


PROMPTS = {"query": "Q: ", "passage": "P: ", "Clustering": "C: "}


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        (None, None, "P: "),
        ("query", None, "Q: "),
        ("query", "document", "Q: "),
        (None, "query", "Q: "),
        (None, "search_query", "Q: "),
        (None, "search_document", "P: "),
        (None, "clustering", "C: "),
    ],
)
def test_which_prompt_stands_before_a_text(name: str | None, kind: str | None, found: str) -> None:
    assert prompt_before(PROMPTS, "passage", name, kind) == found


def test_a_kind_of_input_for_which_a_model_has_no_prompt(tmp_path: Path) -> None:
    """Queries and documents are known to all, and simply have none; anything else is refused with what there is."""
    assert prompt_before({}, None, None, "query") == prompt_before({}, None, None, "passage") == ""
    with pytest.raises(KeyError, match="Clustering, passage, query"):
        prompt_before(PROMPTS, None, None, "summary")
    with pytest.raises(KeyError, match="it has none"):
        prompt_before({}, None, "query", None)
