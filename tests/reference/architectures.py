"""The shapes of the tiny checkpoints: for each architecture its config.json and its tensors, in Hugging Face's layout.

Tensor names and shapes are those of Transformers' modelling files. What a norm's weight means differs: `one` marks
norms that multiply by the weight, `zero` those that multiply by one plus the weight.
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


@dataclass(frozen=True)
class Architecture:
    """One tiny model. The seed was chosen so that no greedy step of the recorded prompts is a near tie."""

    name: str
    seed: int
    config: Config
    tensors: Tensors


def _common(model_type: str, class_name: str, layers: int, **more: Any) -> Config:
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


def _attention(config: Config, prefix: str, *, head_norms: Fill | None = None, gated: bool = False) -> Tensors:
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


def _mlp(hidden: int, inner: int, prefix: str) -> Tensors:
    return {
        f"{prefix}.gate_proj.weight": Tensor((inner, hidden)),
        f"{prefix}.up_proj.weight": Tensor((inner, hidden)),
        f"{prefix}.down_proj.weight": Tensor((hidden, inner)),
    }


def _experts(config: Config, prefix: str) -> Tensors:
    hidden, inner = config["hidden_size"], config["moe_intermediate_size"]
    tensors = {f"{prefix}.gate.weight": Tensor((config["num_experts"], hidden))}
    for expert in range(config["num_experts"]):
        tensors |= _mlp(hidden, inner, f"{prefix}.experts.{expert}")
    if "shared_expert_intermediate_size" in config:
        tensors |= _mlp(hidden, config["shared_expert_intermediate_size"], f"{prefix}.shared_expert")
        tensors[f"{prefix}.shared_expert_gate.weight"] = Tensor((1, hidden))
    return tensors


def _linear_attention(config: Config, prefix: str, *, fused: bool) -> Tensors:
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


def _model(
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


def _llama() -> tuple[Config, Tensors]:
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    config = _common("llama", "LlamaForCausalLM", 3, rope_scaling=scaling, hidden_act="silu")
    return config, _model(config, lambda at, _: _attention(config, f"{at}.self_attn") | _mlp(HIDDEN, 96, f"{at}.mlp"))


def _phi3() -> tuple[Config, Tensors]:
    config = _common("phi3", "Phi3ForCausalLM", 3, hidden_act="silu", original_max_position_embeddings=512)

    def layer(at: str, _: int) -> Tensors:
        return {
            f"{at}.self_attn.qkv_proj.weight": Tensor(((4 + 2 + 2) * 16, HIDDEN)),
            f"{at}.self_attn.o_proj.weight": Tensor((HIDDEN, 4 * 16)),
            f"{at}.mlp.gate_up_proj.weight": Tensor((2 * 96, HIDDEN)),
            f"{at}.mlp.down_proj.weight": Tensor((HIDDEN, 96)),
        }

    return config, _model(config, layer)


def _qwen3() -> tuple[Config, Tensors]:
    config = _common("qwen3", "Qwen3ForCausalLM", 3, tie_word_embeddings=True, hidden_act="silu")

    def layer(at: str, _: int) -> Tensors:
        return _attention(config, f"{at}.self_attn", head_norms="one") | _mlp(HIDDEN, 96, f"{at}.mlp")

    return config, _model(config, layer)


def _qwen3_moe() -> tuple[Config, Tensors]:
    config = _common(
        "qwen3_moe",
        "Qwen3MoeForCausalLM",
        3,
        hidden_act="silu",
        num_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        norm_topk_prob=True,
        decoder_sparse_step=1,
        mlp_only_layers=[0],
    )

    def layer(at: str, index: int) -> Tensors:
        block = _mlp(HIDDEN, 96, f"{at}.mlp") if index == 0 else _experts(config, f"{at}.mlp")
        return _attention(config, f"{at}.self_attn", head_norms="one") | block

    return config, _model(config, layer)


def _gemma3() -> tuple[Config, Tensors]:
    """Two sliding layers, a full one, and again; the window of 16 wraps in most prompts and in every continuation."""
    config = _common(
        "gemma3_text",
        "Gemma3ForCausalLM",
        6,
        tie_word_embeddings=True,
        hidden_activation="gelu_pytorch_tanh",
        query_pre_attn_scalar=16,
        rope_theta=1000000.0,
        rope_local_base_freq=10000.0,
        sliding_window=16,
        sliding_window_pattern=3,
    )

    def layer(at: str, _: int) -> Tensors:
        return _attention(config, f"{at}.self_attn", head_norms="zero") | _mlp(HIDDEN, 96, f"{at}.mlp")

    tensors = _model(config, layer, norm="zero", norms=4)
    # What the last layer adds decides, or the equal shares of all the normed blocks settle on a few tokens.
    tensors["model.layers.5.post_feedforward_layernorm.weight"] = Tensor((HIDDEN,), "loud")
    return config, tensors


_HYBRID = {
    "hidden_act": "silu",
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "linear_conv_kernel_dim": 4,
    "full_attention_interval": 3,
}


def _is_full(index: int) -> bool:
    return (index + 1) % _HYBRID["full_attention_interval"] == 0  # type: ignore[operator]


def _qwen3_next() -> tuple[Config, Tensors]:
    config = _common(
        "qwen3_next",
        "Qwen3NextForCausalLM",
        3,
        **_HYBRID,
        partial_rotary_factor=0.5,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        shared_expert_intermediate_size=32,
        norm_topk_prob=True,
        decoder_sparse_step=1,
        mlp_only_layers=[],
    )

    def layer(at: str, index: int) -> Tensors:
        mixer = (
            _attention(config, f"{at}.self_attn", head_norms="zero", gated=True)
            if _is_full(index)
            else _linear_attention(config, f"{at}.linear_attn", fused=True)
        )
        return mixer | _experts(config, f"{at}.mlp")

    return config, _model(config, layer, norm="zero")


def _qwen3_5() -> tuple[Config, Tensors]:
    """The published layout: a vision-language config around `text_config`, text weights under `language_model`."""
    text = _common("qwen3_5_text", "Qwen3_5ForCausalLM", 3, **_HYBRID)
    del text["rope_theta"], text["architectures"]
    text["rope_parameters"] = {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.5,
        "mrope_section": [2, 1, 1],
        "mrope_interleaved": True,
    }
    config = {
        "model_type": "qwen3_5",
        "architectures": ["Qwen3_5ForConditionalGeneration"],
        "tie_word_embeddings": False,
        "eos_token_id": END_OF_TURN,
        "torch_dtype": "float32",
        "text_config": text,
    }

    def layer(at: str, index: int) -> Tensors:
        mixer = (
            _attention(text, f"{at}.self_attn", head_norms="zero", gated=True)
            if _is_full(index)
            else _linear_attention(text, f"{at}.linear_attn", fused=False)
        )
        return mixer | _mlp(HIDDEN, 96, f"{at}.mlp")

    return config, _model(text, layer, root="model.language_model", norm="zero")


_SHAPES: dict[str, Callable[[], tuple[Config, Tensors]]] = {
    "llama": _llama,
    "qwen3": _qwen3,
    "gemma3": _gemma3,
    "qwen3_moe": _qwen3_moe,
    "qwen3_next": _qwen3_next,
    "qwen3_5": _qwen3_5,
    "phi3": _phi3,
}
SEEDS = {"llama": 17, "qwen3": 18, "gemma3": 2, "qwen3_moe": 6, "qwen3_next": 4, "qwen3_5": 12, "phi3": 4}


def architecture(name: str) -> Architecture:
    """The architecture of that name; KeyError when there is none."""
    config, tensors = _SHAPES[name]()
    return Architecture(name=name, seed=SEEDS[name], config=config, tensors=tensors)
