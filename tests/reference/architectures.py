"""The tiny checkpoints' architectures: for each its config.json and its tensors, in Hugging Face's layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reference.blocks import (
    END_OF_TURN,
    HIDDEN,
    VOCABULARY,
    Config,
    Tensor,
    Tensors,
    attention,
    common,
    experts,
    linear_attention,
    mlp,
    model,
)

__all__ = ["END_OF_TURN", "SEEDS", "VOCABULARY", "Architecture", "architecture"]


@dataclass(frozen=True)
class Architecture:
    """One tiny model. The seed was chosen so that no greedy step of the recorded prompts is a near tie."""

    name: str
    seed: int
    config: Config
    tensors: Tensors


def _llama() -> tuple[Config, Tensors]:
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    config = common("llama", "LlamaForCausalLM", 3, rope_scaling=scaling, hidden_act="silu")
    return config, model(config, lambda at, _: attention(config, f"{at}.self_attn") | mlp(HIDDEN, 96, f"{at}.mlp"))


def _phi3() -> tuple[Config, Tensors]:
    config = common("phi3", "Phi3ForCausalLM", 3, hidden_act="silu", original_max_position_embeddings=512)

    def layer(at: str, _: int) -> Tensors:
        return {
            f"{at}.self_attn.qkv_proj.weight": Tensor(((4 + 2 + 2) * 16, HIDDEN)),
            f"{at}.self_attn.o_proj.weight": Tensor((HIDDEN, 4 * 16)),
            f"{at}.mlp.gate_up_proj.weight": Tensor((2 * 96, HIDDEN)),
            f"{at}.mlp.down_proj.weight": Tensor((HIDDEN, 96)),
        }

    return config, model(config, layer)


def _qwen3() -> tuple[Config, Tensors]:
    config = common("qwen3", "Qwen3ForCausalLM", 3, tie_word_embeddings=True, hidden_act="silu")

    def layer(at: str, _: int) -> Tensors:
        return attention(config, f"{at}.self_attn", head_norms="one") | mlp(HIDDEN, 96, f"{at}.mlp")

    return config, model(config, layer)


def _qwen3_moe() -> tuple[Config, Tensors]:
    config = common(
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
        block = mlp(HIDDEN, 96, f"{at}.mlp") if index == 0 else experts(config, f"{at}.mlp")
        return attention(config, f"{at}.self_attn", head_norms="one") | block

    return config, model(config, layer)


def _gemma3() -> tuple[Config, Tensors]:
    """Two sliding layers, a full one, and again; the window of 16 wraps in most prompts and in every continuation."""
    config = common(
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
        return attention(config, f"{at}.self_attn", head_norms="zero") | mlp(HIDDEN, 96, f"{at}.mlp")

    tensors = model(config, layer, norm="zero", norms=4)
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
    config = common(
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
            attention(config, f"{at}.self_attn", head_norms="zero", gated=True)
            if _is_full(index)
            else linear_attention(config, f"{at}.linear_attn", fused=True)
        )
        return mixer | experts(config, f"{at}.mlp")

    return config, model(config, layer, norm="zero")


def _qwen3_5() -> tuple[Config, Tensors]:
    """The published layout: a vision-language config around `text_config`, text weights under `language_model`."""
    text = common("qwen3_5_text", "Qwen3_5ForCausalLM", 3, **_HYBRID)
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
            attention(text, f"{at}.self_attn", head_norms="zero", gated=True)
            if _is_full(index)
            else linear_attention(text, f"{at}.linear_attn", fused=False)
        )
        return mixer | mlp(HIDDEN, 96, f"{at}.mlp")

    return config, model(text, layer, root="model.language_model", norm="zero")


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
