"""Tiny networks of mlx-lm whose caches nobody here knows how to cut."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_map
from reference.architectures import VOCABULARY

from mlx_serve.daemon.engine.model.load import LanguageModel

_LLAMA4: dict[str, Any] = {
    "attention_bias": False, "attention_chunk_size": 24, "head_dim": 16, "hidden_size": 64, "intermediate_size": 32,
    "interleave_moe_layer_step": 4, "intermediate_size_mlp": 96, "max_position_embeddings": 512,
    "model_type": "llama4_text", "num_attention_heads": 4, "num_experts_per_tok": 1, "num_hidden_layers": 4,
    "num_key_value_heads": 2, "num_local_experts": 2, "rms_norm_eps": 1e-5, "rope_scaling": None, "rope_theta": 1e4,
    "use_qk_norm": True, "vocab_size": VOCABULARY,
}  # fmt: skip
_DEEPSEEK: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "head_dim": 32,
    "q_lora_rank": 32, "qk_rope_head_dim": 16, "o_groups": 2, "o_lora_rank": 16, "moe_intermediate_size": 32,
    "n_routed_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16, "compress_ratios": (4, 1, 4),
    "kv_source_layer_ids": (0, 1, 2), "index_source_layer_ids": (0, 1, 2), "index_n_heads": 2,
    "index_head_dim": 16, "index_topk": 8, "hc_mult": 2,
}  # fmt: skip
CONFIGS = {
    "llama4": {"model_type": "llama4", "text_config": _LLAMA4},  # ChunkedKVCache
    "deepseek_v41": {"model_type": "deepseek_v41", **_DEEPSEEK},  # a class of its own
}


def uncut(name: str, like: LanguageModel) -> LanguageModel:
    """A model with this network, random weights from a seed, and all else of another model."""
    network = _network(name)
    return replace(like, network=network, rows=VOCABULARY, batchable=False, paddable=False, ragged=False)


def write_uncut(name: str, folder: Path, *, context: int) -> Path:
    """The same with the tokenizer of the checkpoint in `folder`, in its place, for texts of so many tokens."""
    (folder / "config.json").write_text(json.dumps({**CONFIGS[name], "max_position_embeddings": context}))
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    weights = dict(tree_flatten(_network(name).parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    return folder


def _network(name: str) -> Any:
    module = importlib.import_module(f"mlx_lm.models.{name}")
    network = module.Model(module.ModelArgs.from_dict(CONFIGS[name]))
    key = iter(mx.random.split(mx.random.key(5), 1000))

    def drawn(weight: mx.array) -> mx.array:
        if weight.ndim < 2 or not mx.issubdtype(weight.dtype, mx.floating):
            return weight
        return mx.random.normal(weight.shape, key=next(key)) / weight.shape[-1] ** 0.5

    network.update(tree_map(drawn, network.parameters()))
    network.eval()
    mx.eval(network.parameters())
    return network
