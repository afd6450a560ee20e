"""The parts that the tiny checkpoints are made of, by their names and shapes in Transformers' modelling files.

What a norm's weight means differs: `one` marks norms that multiply by the weight, `zero` those that multiply by one
plus the weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

VOCABULARY = 320
HIDDEN = 64
END_OF_TURN = VOCABULARY - 1

Fill = Literal["matrix", "embedding", "tied", "one", "zero", "loud", "decay", "step"]
Config = dict[str, Any]


@dataclass(frozen=True)
class Tensor:
    """A tensor's shape and how it is filled; a `matrix` maps its last dimension to its first."""

    shape: tuple[int, ...]
    fill: Fill = "matrix"


Tensors = dict[str, Tensor]


def common(model_type: str, class_name: str, layers: int, **more: Any) -> Config:
    return {
        "model_type": model_type,
        "architectures": [class_name],
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "num_hidden_layers": layers,
        "intermediate_size": 96,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 512,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "eos_token_id": END_OF_TURN,
        "bos_token_id": None,
        "pad_token_id": END_OF_TURN - 2,
        "torch_dtype": "float32",
        **more,
    }


def attention(config: Config, prefix: str, *, head_norms: Fill | None = None, gated: bool = False) -> Tensors:
    head, hidden = config["head_dim"], config["hidden_size"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    tensors = {
        f"{prefix}.q_proj.weight": Tensor((queries * (2 if gated else 1), hidden)),
        f"{prefix}.k_proj.weight": Tensor((keys, hidden)),
        f"{prefix}.v_proj.weight": Tensor((keys, hidden)),
        f"{prefix}.o_proj.weight": Tensor((hidden, queries)),
    }
    if head_norms:
        tensors |= {f"{prefix}.{name}_norm.weight": Tensor((head,), head_norms) for name in "qk"}
    return tensors


def mlp(hidden: int, inner: int, prefix: str) -> Tensors:
    return {
        f"{prefix}.gate_proj.weight": Tensor((inner, hidden)),
        f"{prefix}.up_proj.weight": Tensor((inner, hidden)),
        f"{prefix}.down_proj.weight": Tensor((hidden, inner)),
    }


def experts(config: Config, prefix: str) -> Tensors:
    hidden, inner = config["hidden_size"], config["moe_intermediate_size"]
    tensors = {f"{prefix}.gate.weight": Tensor((config["num_experts"], hidden))}
    for expert in range(config["num_experts"]):
        tensors |= mlp(hidden, inner, f"{prefix}.experts.{expert}")
    if "shared_expert_intermediate_size" in config:
        tensors |= mlp(hidden, config["shared_expert_intermediate_size"], f"{prefix}.shared_expert")
        tensors[f"{prefix}.shared_expert_gate.weight"] = Tensor((1, hidden))
    return tensors


def linear_attention(config: Config, prefix: str, *, fused: bool) -> Tensors:
    """Gated delta net: Qwen3-Next fuses its input projections, Qwen3.5 keeps four."""
    hidden, heads = config["hidden_size"], config["linear_num_value_heads"]
    keys = config["linear_num_key_heads"] * config["linear_key_head_dim"]
    values = heads * config["linear_value_head_dim"]
    projections = (
        {"qkvz": 2 * keys + 2 * values, "ba": 2 * heads}
        if fused
        else {"qkv": 2 * keys + values, "z": values, "b": heads, "a": heads}
    )
    return {f"{prefix}.in_proj_{name}.weight": Tensor((rows, hidden)) for name, rows in projections.items()} | {
        f"{prefix}.conv1d.weight": Tensor((2 * keys + values, 1, config["linear_conv_kernel_dim"])),
        f"{prefix}.dt_bias": Tensor((heads,), "step"),
        f"{prefix}.A_log": Tensor((heads,), "decay"),
        f"{prefix}.norm.weight": Tensor((config["linear_value_head_dim"],), "one"),
        f"{prefix}.out_proj.weight": Tensor((hidden, values)),
    }


def model(
    config: Config, layer: Callable[[str, int], Tensors], *, root: str = "model", norm: Fill = "one", norms: int = 2
) -> Tensors:
    """Embedding, layers, final norm and head. `norms` counts the norms around the two blocks of a layer.

    A tied embedding is small, lest every token predict itself, and the final norm makes up for it.
    """
    hidden, tied = config["hidden_size"], config["tie_word_embeddings"]
    names = ["input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"]
    tensors = {f"{root}.embed_tokens.weight": Tensor((config["vocab_size"], hidden), "tied" if tied else "embedding")}
    for index in range(config["num_hidden_layers"]):
        prefix = f"{root}.layers.{index}"
        tensors |= layer(prefix, index)
        tensors |= {f"{prefix}.{name}.weight": Tensor((hidden,), norm) for name in names[:norms]}
    tensors[f"{root}.norm.weight"] = Tensor((hidden,), "loud" if tied else norm)
    if not tied:
        tensors["lm_head.weight"] = Tensor((config["vocab_size"], hidden))
    return tensors
