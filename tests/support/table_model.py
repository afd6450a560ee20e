"""The weights of a tiny model that are a table: which token comes follows from the last one and from nothing else.

A Llama of one layer whose attention and MLP add nothing. What its embedding and its head are makes the table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

_HEADS, _HEAD, _INNER = 2, 16, 16


def table_config(vocabulary: int, width: int, context: int, ends: int | list[int]) -> dict[str, Any]:
    """What config.json says. `ends` are the tokens that end an answer."""
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": 1,
        "intermediate_size": _INNER,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": 1,
        "head_dim": _HEAD,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": context,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
        "eos_token_id": ends,
        "torch_dtype": "float32",
    }


def write_table(folder: Path, embedding: np.ndarray[Any, Any], head: np.ndarray[Any, Any]) -> None:
    """model.safetensors; both are of shape (vocabulary, width)."""
    width = embedding.shape[1]
    layer = "model.layers.0"
    shapes = {
        f"{layer}.self_attn.q_proj.weight": (_HEADS * _HEAD, width),
        f"{layer}.self_attn.k_proj.weight": (_HEAD, width),
        f"{layer}.self_attn.v_proj.weight": (_HEAD, width),
        f"{layer}.self_attn.o_proj.weight": (width, _HEADS * _HEAD),
        f"{layer}.mlp.gate_proj.weight": (_INNER, width),
        f"{layer}.mlp.up_proj.weight": (_INNER, width),
        f"{layer}.mlp.down_proj.weight": (width, _INNER),
    }
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    for norm in (f"{layer}.input_layernorm", f"{layer}.post_attention_layernorm", "model.norm"):
        tensors[f"{norm}.weight"] = np.ones(width, np.float32)
    tensors |= {"model.embed_tokens.weight": embedding, "lm_head.weight": head}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
