"""What /api/show says of a model: the keys that Ollama's clients read, from the configurations of real families."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fakes.serving import MODEL, Serving
from safetensors.numpy import save_file

from mlx_serve.handlers.ollama.model_info import architecture_facts

QWEN3 = {
    "model_type": "qwen3",
    "num_hidden_layers": 28,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "rope_theta": 1000000,
    "rms_norm_eps": 1e-6,
    "vocab_size": 151936,
    "sliding_window": None,
    "eos_token_id": [151645, 151643],
    "bos_token_id": 151643,
}
CONFIGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        QWEN3,
        {
            "block_count": 28,
            "feed_forward_length": 3072,
            "attention.head_count": 16,
            "attention.head_count_kv": 8,
            "attention.key_length": 128,
            "attention.value_length": 128,
            "rope.freq_base": 1000000.0,
            "rope.dimension_count": 128,
            "attention.layer_norm_rms_epsilon": 1e-6,
            "vocab_size": 151936,
        },
    ),
    (
        {"n_layer": 12, "n_head": 12, "n_embd": 768, "layer_norm_epsilon": 1e-5},
        {
            "block_count": 12,
            "attention.head_count": 12,
            "attention.head_count_kv": 12,
            "attention.key_length": 64,
            "attention.value_length": 64,
            "attention.layer_norm_epsilon": 1e-5,
        },
    ),
    (
        {
            "text_config": {
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "hidden_size": 64,
                "rope_parameters": {"rope_theta": 5e5, "rope_type": "yarn", "factor": 4.0},
                "num_experts": 128,
                "num_experts_per_tok": 8,
                "moe_intermediate_size": 768,
            },
            "vision_config": {"depth": 27, "hidden_size": 1152, "num_heads": 16, "patch_size": 16},
        },
        {
            "block_count": 2,
            "rope.freq_base": 5e5,
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "expert_count": 128,
            "expert_used_count": 8,
            "expert_feed_forward_length": 768,
            "vision.block_count": 27,
            "vision.embedding_length": 1152,
            "vision.attention.head_count": 16,
            "vision.patch_size": 16,
        },
    ),
    (
        {"num_attention_heads": 128, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128},
        {"attention.key_length": 192, "attention.value_length": 128, "rope.dimension_count": 64},
    ),
    ({"rope_parameters": {"full_attention": {"rope_theta": 1e6}}}, {"rope.freq_base": 1e6}),
    ({"num_hidden_layers": "many", "vocab_size": True, "rope_theta": None, "vision_config": 3}, {}),
    ({"use_sliding_window": False, "sliding_window": 4096}, {}),
    ({"sliding_window": 4096}, {"attention.sliding_window": 4096}),
]


@pytest.mark.parametrize(("config", "facts"), CONFIGS)
def test_facts_of_a_configuration(config: dict[str, Any], facts: dict[str, Any]) -> None:
    """Of every age and family; what is not a number is left out."""
    found = architecture_facts(config)
    assert found.items() >= facts.items()
    if not facts:
        assert found == {}


@pytest.fixture
def files(serving: Serving) -> Path:
    """A model with a configuration, a tokenizer and weights."""
    vocabulary = {"a": 0, "b": 1, "ab": 2}
    added = [{"id": 3, "content": "<end>", "special": True}, {"id": 4, "content": "<call>", "special": False}]
    tokenizer = {"model": {"type": "BPE", "vocab": vocabulary, "merges": [["a", "b"]]}, "added_tokens": added}
    serving.store.contents = {
        **serving.store.contents,
        "config.json": json.dumps(QWEN3),
        "tokenizer.json": json.dumps(tokenizer),
    }
    folder = serving.store.view(serving.store.find(MODEL))
    save_file({"model.norm.weight": np.ones((4, 2), np.float16)}, folder / "model.safetensors")
    return folder


async def show(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/api/show", json={"model": "parrot"} | body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_model_info(files: Path, client: httpx.AsyncClient) -> None:
    """The family's facts under its name; the lists of the tokenizer are null, as Ollama has it."""
    shown = await show(client)
    info = shown["model_info"]
    assert info["general.architecture"] == "qwen3" and info["general.parameter_count"] == 3_210_000_000
    assert info["qwen3.block_count"] == 28 and info["qwen3.context_length"] == 4096
    assert info["qwen3.embedding_length"] == 64 and info["qwen3.attention.head_count_kv"] == 8
    assert info["tokenizer.ggml.model"] == "gpt2" and info["tokenizer.ggml.eos_token_id"] == 151645
    for name in ("tokens", "merges", "token_type"):
        assert info[f"tokenizer.ggml.{name}"] is None
    assert "tensors" not in shown


async def test_verbose(serving: Serving, files: Path, client: httpx.AsyncClient) -> None:
    """The vocabulary in the order of its ids, and every tensor as it is stored."""
    weights = [layer for layer in serving.store.find(MODEL).manifest.layers if layer.path.endswith(".safetensors")]
    shown = await show(client, verbose=True)
    info = shown["model_info"]
    assert info["tokenizer.ggml.tokens"] == ["a", "b", "ab", "<end>", "<call>"]
    assert info["tokenizer.ggml.token_type"] == [1, 1, 1, 3, 4] and info["tokenizer.ggml.merges"] == ["a b"]
    assert shown["tensors"] == [{"name": "model.norm.weight", "type": "F16", "shape": [4, 2]}] * len(weights)


async def test_a_damaged_tokenizer_is_left_out(files: Path, serving: Serving, client: httpx.AsyncClient) -> None:
    """What cannot be read is not there; the rest is."""
    serving.store.contents = {**serving.store.contents, "tokenizer.json": "{", "config.json": "[1"}
    info = (await show(client, verbose=False))["model_info"]
    assert info["qwen3.context_length"] == 4096 and "qwen3.block_count" not in info
    assert not [key for key in info if key.startswith("tokenizer")]


async def test_a_request_may_show_other_settings(files: Path, client: httpx.AsyncClient) -> None:
    """`system`, `template` and `options` take the place of the model's own, in the Modelfile too."""
    shown = await show(client, system="Be brief.", template="{{ messages }}", options={"temperature": 0.1, "odd": 1})
    assert (shown["system"], shown["template"]) == ("Be brief.", "{{ messages }}")
    assert shown["parameters"] == f"{'temperature':<30} 0.1\n{'top_k':<30} 20"
    for line in ('SYSTEM """Be brief."""', 'TEMPLATE """{{ messages }}"""', "PARAMETER temperature 0.1"):
        assert line in shown["modelfile"]
    wrong = await client.post("/api/show", json={"model": "parrot", "options": {"top_p": 5}})
    assert wrong.status_code == 400 and "top_p" in wrong.json()["error"]
