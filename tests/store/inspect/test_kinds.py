"""Kinds, capabilities and figures, found in the files of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlx_serve.store.disk.manifests import Quantization
from mlx_serve.store.errors import UnsupportedModel
from mlx_serve.store.inspect.findings import Findings, inspect

MakeModel = Callable[..., Path]
VISION = {"vision_tower.patch_embed.weight": ("F32", [4, 4]), "language_model.norm.weight": ("F32", [4])}
POOLING = {
    "modules.json": [
        {"idx": 0, "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "type": "sentence_transformers.models.Pooling"},
    ]
}


def look(folder: Path, name: str | None = None) -> Findings:
    locations = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return inspect(locations, (name or folder.name,), None)


@pytest.mark.parametrize(
    ("name", "config", "extra", "kind", "reason"),
    [
        ("chat", {}, {}, "llm", "Qwen3ForCausalLM"),
        ("chat", {"architectures": None}, {}, "llm", "model_type qwen3"),
        ("gpt2", {"architectures": ["GPT2LMHeadModel"]}, {}, "llm", "GPT2LMHeadModel"),
        ("bge", {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "L"}}, {}, "reranker", "cross-"),
        ("Qwen3-Reranker-0.6B", {}, {}, "reranker", "the name Qwen3-Reranker-0.6B"),
        ("x", {}, {"README.md": "---\npipeline_tag: text-ranking\n---\n"}, "reranker", "text-ranking"),
        ("x", {}, {"config_sentence_transformers.json": {"model_type": "CrossEncoder"}}, "reranker", "CrossEncoder"),
        ("Qwen3-Embedding-0.6B-4bit", {}, {}, "embedding", "the name"),
        ("x", {}, POOLING, "embedding", "pooled"),
        ("x", {}, {"config_sentence_transformers.json": {}}, "embedding", "embedding model"),
        ("x", {}, {"README.md": "---\na: b\npipeline_tag: sentence-similarity\n---"}, "embedding", "similarity"),
        ("x", {"model_type": "bert", "architectures": ["BertForMaskedLM"]}, {}, "embedding", "encoder"),
        ("x", {"architectures": ["Qwen3Model"]}, {}, "embedding", "Qwen3Model"),
        ("x", {}, {"README.md": "no front matter\npipeline_tag: text-ranking\n"}, "llm", "Qwen3ForCausalLM"),
    ],
)  # fmt: skip
def test_the_kind_and_its_reason(
    make_model: MakeModel, name: str, config: dict[str, Any], extra: dict[str, Any], kind: str, reason: str
) -> None:
    found = look(make_model(name, config=config, files=extra))
    assert found.kind == kind
    assert reason in found.kind_reason


def test_a_vision_config_counts_only_with_a_vision_tower(make_model: MakeModel) -> None:
    config = {
        "model_type": "gemma3",
        "vision_config": {"depth": 1},
        "architectures": ["Gemma3ForConditionalGeneration"],
    }
    seeing = look(make_model("seeing", config=config, tensors=VISION))
    assert (seeing.kind, seeing.capabilities) == ("vlm", ("completion", "vision"))
    blind = look(make_model("blind", config=config))
    assert blind.kind == "llm"
    assert "no vision tower" in blind.kind_reason


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "a", "1": "b"}},
        {"architectures": ["BertForSequenceClassification"], "num_labels": 3},
        {"is_encoder_decoder": True, "model_type": "t5"},
        {"model_type": None},
        {"model_type": "x" * 200},
    ],
)
def test_what_is_none_of_the_four_kinds_is_refused(make_model: MakeModel, config: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedModel):
        look(make_model(config=config))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ messages }}", ("completion",)),
        ("{% if tools %}{% endif %}", ("completion", "tools")),
        ("{% if enable_thinking %}{% endif %}", ("completion", "thinking")),
        ("{{ tools }}<think>", ("completion", "tools", "thinking")),
        ("toolset </think>", ("completion",)),
    ],
)
@pytest.mark.parametrize("place", ["jinja", "config", "list", "json"])
def test_capabilities_are_read_from_the_chat_template_wherever_it_is(
    make_model: MakeModel, template: str, expected: tuple[str, ...], place: str
) -> None:
    files: dict[str, Any] = {
        "jinja": {"chat_template.jinja": template},
        "config": {"tokenizer_config.json": {"chat_template": template}},
        "list": {"tokenizer_config.json": {"chat_template": [{"name": "default", "template": template}]}},
        "json": {"chat_template.json": {"chat_template": template}},
    }[place]
    assert look(make_model(files=files)).capabilities == expected


def test_embedding_and_reranker_have_one_capability(make_model: MakeModel) -> None:
    assert look(make_model("my-embedding", files={"chat_template.jinja": "{{ tools }}"})).capabilities == ("embedding",)
    assert look(make_model("my-reranker")).capabilities == ("rerank",)


def test_parameters_of_plain_weights_are_their_elements(make_model: MakeModel) -> None:
    traits = look(make_model()).traits
    assert (traits.parameters, traits.dtype, traits.quantization) == (8 * 4 + 4, "float32", None)


@pytest.mark.parametrize(
    ("bits", "group_size", "mode", "dtype"),
    [(4, 64, "affine", "BF16"), (3, 32, "affine", "F16"), (4, 32, "mxfp4", "U8"), (8, 32, "mxfp8", "U8")],
)
def test_packed_weights_count_as_what_they_unpack_to(
    make_model: MakeModel, bits: int, group_size: int, mode: str, dtype: str
) -> None:
    rows, columns = 16, 128
    tensors = {
        "a.weight": ("U32", [rows, columns * bits // 32]),
        "a.scales": (dtype, [rows, columns // group_size]),
        "norm.weight": ("BF16", [columns]),
        "a.bias": ("BF16", [rows]),
    }  # fmt: skip
    if mode == "affine":
        tensors["a.biases"] = (dtype, [rows, columns // group_size])
    config = {"quantization": {"bits": bits, "group_size": group_size, "mode": mode}}
    traits = look(make_model(config=config, tensors=tensors)).traits
    assert traits.parameters == rows * columns + columns + rows
    assert traits.quantization == Quantization(bits=bits, group_size=group_size, mode=mode)


def test_a_layer_with_its_own_group_size_is_counted_by_it(make_model: MakeModel) -> None:
    tensors = {
        "a.weight": ("U32", [2, 16]), "a.scales": ("BF16", [2, 2]), "a.biases": ("BF16", [2, 2]),
        "b.weight": ("U32", [2, 32]), "b.scales": ("BF16", [2, 4]), "b.biases": ("BF16", [2, 4]),
    }  # fmt: skip
    config = {"quantization": {"bits": 4, "group_size": 64, "b": {"bits": 8, "group_size": 32}}}
    assert look(make_model(config=config, tensors=tensors)).traits.parameters == 2 * 128 + 2 * 128


@pytest.mark.parametrize(
    ("tensors", "settings", "parameters"),
    [
        ({"a.qweight": ("I32", [16, 8]), "a.qzeros": ("I32", [1, 1]), "a.scales": ("F16", [1, 8])},
         {"quant_method": "gptq", "bits": 4, "group_size": 128}, 128 * 8),
        ({"e.down_blocks": ("U8", [2, 4, 16]), "e.down_scales": ("U8", [2, 4])}, {"quant_method": "mxfp4"}, 2 * 4 * 32),
        ({"a.weight": ("U8", [4, 4]), "a.weight_scale_inv": ("F32", [1, 1])}, {"quant_method": "fp8"}, 16),
    ],
)  # fmt: skip
def test_other_packings_are_counted_too(
    make_model: MakeModel, tensors: dict[str, Any], settings: dict[str, Any], parameters: int
) -> None:
    traits = look(make_model(config={"quantization_config": settings}, tensors=tensors)).traits
    assert traits.parameters == parameters
    assert traits.quantization is not None
    assert traits.quantization.mode == settings["quant_method"]


@pytest.mark.parametrize(
    ("config", "context", "width"),
    [
        ({}, 128, 4),
        ({"text_config": {"max_position_embeddings": 999, "hidden_size": 77}}, 999, 77),
        ({"max_position_embeddings": None, "n_positions": 64}, 64, 4),
        ({"max_position_embeddings": True}, None, 4),
        ({"max_position_embeddings": "4096", "hidden_size": -1}, None, None),
    ],
)
def test_context_and_width_come_from_the_config(
    make_model: MakeModel, config: dict[str, Any], context: int | None, width: int | None
) -> None:
    traits = look(make_model(config=config)).traits
    assert (traits.context_length, traits.embedding_length) == (context, width)


def test_an_encoder_is_limited_by_its_sentence_transformers_config(make_model: MakeModel) -> None:
    config = {"model_type": "xlm-roberta", "architectures": ["XLMRobertaModel"], "max_position_embeddings": 514}
    assert look(make_model("a", config=config)).traits.context_length == 512
    limited = make_model("b", config=config, files={"sentence_bert_config.json": {"max_seq_length": 256}})
    assert look(limited).traits.context_length == 256


def test_a_dense_layer_sets_the_width_and_must_have_readable_weights(
    make_model: MakeModel, pack: Callable[..., bytes]
) -> None:
    module = {"idx": 2, "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    files = {
        "modules.json": [*POOLING["modules.json"], module],
        "2_Dense/config.json": {"in_features": 4, "out_features": 9},
    }
    with pytest.raises(UnsupportedModel, match="2_Dense"):
        look(make_model(files=files))
    files["2_Dense/model.safetensors"] = pack({"linear.weight": ("F32", [9, 4])})
    traits = look(make_model(files=files)).traits
    assert (traits.embedding_length, traits.parameters) == (9, 36 + 36)
