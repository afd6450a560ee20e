"""A config for every architecture of mlx-lm that turns queries and keys, as Transformers 5 writes it.

Where Transformers knows the model type, its own config class says what the file holds; what mlx-lm asks for beyond
that, and the model types that only mlx-lm knows, get small values. Networks are lazy, so their size costs nothing.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import pkgutil
from typing import Any

import mlx_lm.models
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from mlx_serve.daemon.engine.model.rope_settings import sections

BASE, LOCAL_BASE = 123456.0, 54321.0

_SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 96,
    "vocab_size": 128,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "layer_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
_ASKED: dict[str, Any] = {
    "mlp_bias": False, "post_norm": False, "qk_norm": True, "num_experts_per_tok": 2, "num_experts": 4,
    "n_group": 1, "group_norm_size": 1, "is_moe_layer": [False, True, True, True], "topk_method": "noaux_tc",
    "scoring_func": "sigmoid", "moe_layer_freq": 1, "attention_method": "MLA", "zero_expert_type": "identity",
    "mla_scale_q_lora": True, "mla_scale_kv_lora": True, "shared_intermediate_size": 96, "norm_topk_prob": True,
    "first_k_dense_replace": 1, "partial_rotary_factor": 1.0, "num_attention_groups": 2, "rotary_dim": 8,
    "moe_intermediate_size": 32, "decoder_sparse_step": 1, "mlp_only_layers": [], "num_shared_experts": 1,
    "attention_bias": False, "use_bias": False, "use_qkv_bias": False, "use_cache": True,
    "moe_shared_expert_intermediate_size": 32, "norm_eps": 1e-5, "block_size": 512, "layer_norm_epsilon": 1e-5,
}  # fmt: skip
_KINDS = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]
_MLA: dict[str, Any] = {
    "kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16,
    "n_routed_experts": 4, "routed_scaling_factor": 1.0,
}  # fmt: skip
_OWN: dict[str, dict[str, Any]] = {
    "Klear": {"n_shared_experts": 1},
    "afm7": {"hidden_dim": 64, "num_layers": 3, "num_kv_reuse_layers": 1, "num_heads": 4, "num_kv_heads": 2},
    "baichuan_m1": {"sliding_window": 8, "sliding_window_layers": [0, 2], "conv_window": 2},
    "bailing_hybrid": {"max_position_embeddings": 512},
    "bailing_moe_linear": {"layer_group_size": 2},
    "dots1": {"n_shared_experts": 1, "n_routed_experts": 4, "first_k_dense_replace": 1},
    "exaone": {"num_layers": 4},
    "exaone_moe": {"is_moe_layer": [False] * 64},
    "gear": {"layer_types": _KINDS},
    "glm4_moe": {"head_dim": 128},
    "laguna": {  # the older spelling has one fraction for all
        "layer_types": [*_KINDS, *_KINDS[:2]],
        "rope_parameters": {kind: {"rope_type": "default", "partial_rotary_factor": 0.5} for kind in set(_KINDS)},
    },
    "mellum": {"layer_types": [*_KINDS, *_KINDS[:2]]},
    "hunyuan": {
        "moe_topk": 2, "num_shared_expert": 1, "use_mixed_mlp_moe": True, "use_qk_norm": True, "use_cla": False,
        "cla_share_factor": 2, "rope_parameters": {"rope_type": "dynamic", "factor": 1.0, "alpha": 1000.0},
    },
    "kimi_vl": {"text_config": {"model_type": "deepseek_v3", **_SIZES, **_MLA}},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv", "full_attention"], "num_hidden_layers": 4},
    "lille-130m": {"n_embd": 64, "n_head": 4, "n_kv_heads": 2, "n_layer": 4},
    "longcat_flash_ngram": {
        "ffn_hidden_size": 96, "moe_topk": 2, "expert_ffn_hidden_size": 32, "zero_expert_num": 1, "num_layers": 2,
        **_MLA,
    },
    "mimo_v2_flash": {
        "num_hidden_layers": 4, "hybrid_layer_pattern": [0, 1, 1, 0], "moe_layer_freq": [0, 1, 1, 1],
        "add_swa_attention_sink_bias": True, "add_full_attention_sink_bias": False, "sliding_window_size": 8,
        "n_shared_experts": None, "layernorm_epsilon": 1e-5, "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 2, "swa_head_dim": 192, "swa_v_head_dim": 16,
    },
    "minicpm": {"dim_model_base": 64, "scale_depth": 1.4, "scale_emb": 12},
    "nemotron-nas": {
        "block_configs": [
            {
                "attention": {"no_op": False, "replace_with_linear": False, "n_heads_in_group": 2},
                "ffn": {"no_op": False, "replace_with_linear": False, "ffn_mult": 2.0},
            }
        ]
        * 4
    },
    "openelm": {
        "num_transformer_layers": 4, "model_dim": 64, "ffn_dim_divisor": 16, "num_query_heads": [4] * 4,
        "num_kv_heads": [2] * 4, "ffn_multipliers": [1.0] * 4,
    },
    "phi3small": {"dense_attention_every_n_layers": 2, "ff_intermediate_size": 96, "gegelu_limit": 20.0},
    "pixtral": {"text_config": {"model_type": "llama", **_SIZES}},
    "plamo3": {"sliding_window_pattern": 2},
    "solar_open": {"intermediate_size": 96},
    "spark2_5": {"sliding_window": 8, "layer_types": _KINDS},
}  # fmt: skip
_OLD_BASES = {
    "gpt_neox": "rotary_emb_base",
    "openelm": "rope_freq_constant",
    "phi3small": "rope_embedding_base",
}
# Their layers with a window have a base of their own.
TWO_BASES = {"gemma3", "gemma3_text", "gemma3n", "gear", "mimo_v2_flash", "plamo3", "laguna", "mellum", "spark2_5"}
# No rotary positions at all, or none that a config could set.
WITHOUT = {
    *("gpt2", "gpt_bigcode", "mamba", "mamba2", "rwkv7", "jamba", "nemotron_h", "kimi_linear", "kimi_k3"),
    *("gptj", "plamo2", "phixtral", "qwen"),
}
# `prism_hadamard_qwen35` and `lfm2-vl` are other architectures' classes, `deepseek_v2` and `minicpm3` know one rope
# type only, and `olmo` needs a package.
LIKE_OTHERS = {"prism_hadamard_qwen35", "lfm2-vl", "deepseek_v2", "minicpm3", "olmo"}


def names() -> list[str]:
    """Every architecture of mlx-lm that has rotary settings."""
    found = []
    for module in pkgutil.iter_modules(mlx_lm.models.__path__):
        if module.name in WITHOUT | LIKE_OTHERS:
            continue
        if hasattr(importlib.import_module(f"mlx_lm.models.{module.name}"), "ModelArgs"):
            found.append(module.name)
    return found


def modern(name: str) -> dict[str, Any]:
    """The config with `rope_parameters`: BASE everywhere, LOCAL_BASE where the layers with a window have their own."""
    if name in CONFIG_MAPPING and name != "pixtral":  # Transformers' is the vision tower alone
        config = CONFIG_MAPPING[name](num_hidden_layers=6).to_dict()
    else:
        config = {"model_type": name, **_SIZES}
    config |= copy.deepcopy(_OWN.get(name, {}))
    arguments = importlib.import_module(f"mlx_lm.models.{name}").ModelArgs
    for parameter in inspect.signature(arguments).parameters.values():
        if parameter.default is parameter.empty and config.get(parameter.name) is None and parameter.name in _ASKED:
            config[parameter.name] = _ASKED[parameter.name]
    for section in sections(config):
        if section.get("rope_parameters") is None and "vision_config" not in section:
            plain = {"rope_type": "default"}
            layers = {"full_attention": plain, "sliding_attention": dict(plain)}
            section["rope_parameters"] = layers if name in TWO_BASES else plain  # type: ignore[index]
        for layer, settings in by_layer(section.get("rope_parameters") or {}).items():
            settings["rope_theta"] = LOCAL_BASE if layer == "sliding_attention" and name in TWO_BASES else BASE
    return config


def by_layer(parameters: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The dicts of `rope_parameters`; of a flat one, itself."""
    nested = {layer: settings for layer, settings in parameters.items() if isinstance(settings, dict)}
    return nested or ({"full_attention": parameters} if parameters else {})


def old(config: dict[str, Any]) -> dict[str, Any]:
    """The same in the spelling of Transformers 4, nested parts too."""
    result = {}
    for key, value in config.items():
        result[key] = old(value) if isinstance(value, dict) and key == "text_config" else copy.deepcopy(value)
    layers = by_layer(result.pop("rope_parameters", None) or {})
    if not layers:
        return result
    main = layers.get("full_attention") or next(iter(layers.values()))
    theirs = _OLD_BASES.get(str(config.get("model_type")), "rope_theta")
    result[theirs] = main.pop("rope_theta")
    if "sliding_attention" in layers:
        result["rope_local_base_freq"] = layers["sliding_attention"]["rope_theta"]
    if (fraction := main.pop("partial_rotary_factor", None)) is not None:
        result["rotary_pct" if theirs == "rotary_emb_base" else "partial_rotary_factor"] = fraction
    scaled = main.get("rope_type") != "default"
    result["rope_scaling"] = {"type" if k == "rope_type" else k: v for k, v in main.items()} if scaled else None
    return result
