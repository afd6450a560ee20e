"""A checkpoint of some hundred KB with random weights and a vocabulary of letters: what a rehearsal loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.models import qwen3

WORDS = 256
STOP = WORDS - 1
GROUP = 64
CONFIG: dict[str, Any] = {
    "model_type": "qwen3",
    "architectures": ["Qwen3ForCausalLM"],
    "hidden_size": 256,
    "num_hidden_layers": 2,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "vocab_size": WORDS,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 4096,
    "rope_theta": 1000000,
    "tie_word_embeddings": True,
    "eos_token_id": STOP,
    "torch_dtype": "bfloat16",
}
"""Heads as wide as most models have them, for kernels are made for a width; and in what most are published in."""


def write_small_checkpoint(folder: Path, bits: int | None) -> None:
    """`bits`: of packed weights; None: they are bfloat16. Raises OSError."""
    config = dict(CONFIG)
    network = qwen3.Model(qwen3.ModelArgs.from_dict(config))
    network.set_dtype(mx.bfloat16)
    if bits is not None:
        config["quantization"] = {"group_size": GROUP, "bits": bits}
        nn.quantize(network, GROUP, bits)
    weights = dict(tree_flatten(network.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    vocabulary = {chr(0x4E00 + place): place for place in range(WORDS)}
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": chr(0x4E00)},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    (folder / "config.json").write_text(json.dumps(config))
