"""What config.json claims and the weights cannot hold is refused at the pull; every layout that exists goes through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlx_serve.store.errors import DamagedModel
from mlx_serve.store.inspect.consistency import check_layers, check_sizes
from mlx_serve.store.inspect.findings import inspect
from mlx_serve.store.inspect.preview import preview
from mlx_serve.store.inspect.weights import Tensor
from mlx_serve.store.inspect.weightsets import INDEX
from mlx_serve.store.store import Store

MakeModel = Callable[..., Path]


def layers(count: int, prefix: str = "model.layers", part: str = "self_attn.q_proj.weight") -> list[str]:
    return [f"{prefix}.{index}.{part}" for index in range(count)]


LAYOUTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "plain": ({"num_hidden_layers": 4}, layers(4)),
    "more are stored, to predict further tokens": ({"num_hidden_layers": 4}, layers(5)),
    "gpt2": ({"n_layer": 3}, layers(3, "transformer.h")),
    "gpt2 bare": ({"n_layer": 3}, layers(3, "h")),
    "bert": ({"num_hidden_layers": 2}, layers(2, "bert.encoder.layer")),
    "modernbert": ({"num_hidden_layers": 2}, layers(2, "layers")),
    "dbrx": ({"n_layers": 2}, layers(2, "transformer.blocks")),
    "mamba": ({"num_hidden_layers": 2}, layers(2, "backbone.layers", "mixer.in_proj.weight")),
    "experts": ({"num_hidden_layers": 2}, layers(2, part="mlp.experts.7.up_proj.weight")),
    "packed": ({"num_hidden_layers": 2}, layers(2, part="mlp.up_proj.scales")),
    "layers that share": ({"model_type": "albert", "num_hidden_layers": 12}, layers(1, "encoder.layers") * 12 + ["a"]),
    "no numbers": ({"num_hidden_layers": 2}, ["stack.weight", "norm.weight"]),
    "sees": (
        {"text_config": {"num_hidden_layers": 2}, "vision_config": {"num_hidden_layers": 4, "depth": 4}},
        layers(2, "language_model.model.layers") + layers(4, "vision_tower.encoder.layers"),
    ),
    "sees, few layers in the tower": (
        {"text_config": {"num_hidden_layers": 6}, "vision_config": {"depth": 2}},
        layers(6, "model.language_model.layers") + layers(2, "model.visual.blocks"),
    ),
    "says nothing": ({}, layers(2)),
    "says nonsense that others refuse": ({"num_hidden_layers": "two"}, layers(2)),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_that_exist(name: str) -> None:
    config, tensors = LAYOUTS[name]
    if "share" in name:
        tensors = [f"{tensor}{place}" for place, tensor in enumerate(tensors)]
    check_layers(config, tensors)


@pytest.mark.parametrize(
    ("config", "tensors", "words"),
    [
        ({"num_hidden_layers": 1_000_000_000}, layers(30), "num_hidden_layers is 1000000000, and .* 30 layers"),
        ({"num_hidden_layers": 31}, layers(30), "num_hidden_layers is 31"),
        ({"n_layer": 4}, layers(3, "transformer.h"), "n_layer is 4"),
        ({"num_hidden_layers": 1_000_000_000}, ["a.weight"], "holds? 1 layers"),
        ({"text_config": {"num_hidden_layers": 9}}, layers(8, "language_model.model.layers"), "text_config.num_hidden"),
        ({"vision_config": {"depth": 10**9}}, layers(8), "vision_config.depth is 1000000000"),
        ({"audio_config": {"encoder": {"num_layers": 10**9}}}, layers(8), "audio_config.encoder.num_layers"),
        (
            {"text_config": {"num_hidden_layers": 20}},
            layers(2, "language_model.model.layers") + layers(40, "vision_tower.encoder.layers"),
            "hold 2 layers",
        ),
    ],
)
def test_more_layers_than_the_files_hold(config: dict[str, Any], tensors: list[str], words: str) -> None:
    with pytest.raises(DamagedModel, match=words):
        check_layers(config, tensors)


@pytest.mark.parametrize(
    ("config", "embedding"),
    [
        ({"vocab_size": 100, "hidden_size": 8}, ("model.embed_tokens.weight", "F32", (100, 8))),
        ({"vocab_size": 90, "hidden_size": 8}, ("model.embed_tokens.weight", "BF16", (128, 8))),
        ({"vocab_size": 100, "hidden_size": 64}, ("model.embed_tokens.weight", "U32", (100, 8))),
        ({"vocab_size": 100, "hidden_size": 64, "embedding_size": 8}, ("word_embeddings.weight", "F32", (100, 8))),
        ({"vocab_size": 100, "text_config": {"hidden_size": 8}}, ("model.embed_tokens.weight", "F32", (100, 8))),
        ({"text_config": {"hidden_size": 16}, "hidden_size": 8}, ("model.embed_tokens.weight", "F32", (100, 8))),
        ({"hidden_size": 8}, ("vision.patch.word_embeddings.weight", "F32", (3, 5))),
        ({"hidden_size": -1}, ("model.embed_tokens.weight", "F32", (100, 8))),
    ],
)
def test_embeddings_that_exist(config: dict[str, Any], embedding: tuple[str, str, tuple[int, int]]) -> None:
    """Padded, packed, narrower than the layers, or with the figures in the part for text."""
    name, dtype, shape = embedding
    check_sizes(config, {name: Tensor(dtype, shape)})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"vocab_size": 10**9, "hidden_size": 8},
            "vocab_size is 1000000000, and .* has 100 rows",
        ),
        ({"vocab_size": 100, "hidden_size": 10**9}, "hidden_size is 1000000000, and .* has 8 columns"),
        ({"text_config": {"vocab_size": 10**9}}, "text_config.vocab_size is 1000000000"),
    ],
)
def test_an_embedding_of_another_model(config: dict[str, Any], words: str) -> None:
    with pytest.raises(DamagedModel, match=words):
        check_sizes(config, {"model.embed_tokens.weight": Tensor("F32", (100, 8))})


def test_a_pull_says_so_before_anything_is_stored(make_model: MakeModel, store: Store) -> None:
    tensors = {name: ("F32", [4]) for name in layers(2)}
    folder = make_model(config={"num_hidden_layers": 1_000_000_000}, tensors=tensors)
    with pytest.raises(DamagedModel, match="1000000000, and the weights hold 2 layers") as refused:
        store.pull(str(folder))
    assert refused.value.hint and "do not belong together" in refused.value.hint
    assert not store.models()
    locations = {path.name: path for path in make_model(config={"num_hidden_layers": 2}, tensors=tensors).iterdir()}
    assert inspect(locations, ("x",), None).kind == "llm"


def test_an_index_tells_before_the_weights_are_fetched(make_model: MakeModel) -> None:
    index = {"weight_map": dict.fromkeys(layers(2), "model.safetensors")}
    folder = make_model(config={"num_hidden_layers": 3}, files={INDEX: index})
    small = {path.name: path for path in folder.iterdir() if path.suffix == ".json"}
    with pytest.raises(DamagedModel, match="num_hidden_layers is 3"):
        preview(small, list(small), ("x",))
