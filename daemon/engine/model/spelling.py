"""config.json in every spelling at once: what Transformers 5 writes, what older ones wrote, what mlx-lm reads.

Most of mlx-lm's architectures know only the older keys and compute with their defaults where they find nothing, so all
spellings are filled in from the one that is there. Knows no weights and no MLX.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from .rope_settings import (
    BASES,
    FRACTIONS,
    FULL,
    LOCAL_BASES,
    NESTED,
    PLAIN,
    SLIDING,
    BadConfig,
    Rotation,
    head_width,
    rotations,
)

LINEAR = "linear_attention"

# Architectures of mlx-lm that look up `rope_parameters` by a layer's type.
_BY_LAYER_TYPE = ("gemma4_text", "laguna", "mellum", "spark2_5")
# What has the same meaning under both names, in either direction.
_SAME = (("num_experts", "num_local_experts"), ("block_dim", "hidden_size"), ("n_ctx", "n_positions"))


def normalised(
    config: Mapping[str, Any], *, has_head: bool, required: Callable[[str], Collection[str]]
) -> dict[str, Any]:
    """A copy that says everything in every spelling. Raises BadConfig.

    `has_head`: the weights hold a language head of their own. `required` gives, for a model type, the keys that its
    architecture needs.
    """
    result = dict(config)
    for key in NESTED:
        if isinstance(nested := config.get(key), dict):
            result[key] = normalised(_inheriting(nested, config), has_head=has_head, required=required)
    result |= _dtype(config) | _rotary(config) | _pattern(config) | _renamed(config) | _family(config)
    if result.get("tie_word_embeddings") is None:
        result["tie_word_embeddings"] = not has_head
    wanted = required(str(config.get("model_type")))
    return result | {key: value for key, value in _heads(config).items() if key in wanted}


def _rotary(config: Mapping[str, Any]) -> dict[str, Any]:
    found = rotations(config)
    if not found:
        return {}
    main = found.get(FULL) or next(iter(found.values()))
    spelled: dict[str, Any] = {
        "rope_scaling": None if main.kind == PLAIN else {"rope_type": main.kind, "type": main.kind, **main.settings},
        "rope_parameters": _parameters(config, found, main),
    }
    if main.base is not None:
        spelled |= dict.fromkeys(BASES, main.base)
        if isinstance(attention := config.get("attn_config"), dict):
            spelled["attn_config"] = {"rope_theta": main.base, **attention}
    if main.fraction is not None:
        spelled |= dict.fromkeys(FRACTIONS, main.fraction)
        if config.get("rotary_dim") is None and (width := head_width(config)) is not None:
            spelled["rotary_dim"] = int(width * main.fraction)
    if (sliding := found.get(SLIDING)) is not None and sliding.base is not None:
        spelled |= dict.fromkeys(LOCAL_BASES, sliding.base)
    if (trained := main.settings.get("original_max_position_embeddings")) is not None:
        spelled["original_max_position_embeddings"] = trained
    return spelled


def _parameters(config: Mapping[str, Any], found: Mapping[str, Rotation], main: Rotation) -> dict[str, Any]:
    if config.get("model_type") not in _BY_LAYER_TYPE:
        return main.spelled()
    kinds = config.get("layer_types")
    missing = (set(kinds) if isinstance(kinds, list) else {FULL, SLIDING}) - set(found)
    return {layer: rotation.spelled() for layer, rotation in found.items()} | {
        str(layer): main.spelled() for layer in missing
    }


def _heads(config: Mapping[str, Any]) -> dict[str, Any]:
    """Where a file leaves out what follows from the rest, some architectures of mlx-lm still ask for it."""
    filled: dict[str, Any] = {}
    if config.get("head_dim") is None and (width := head_width(config)) is not None:
        filled["head_dim"] = width
    if config.get("num_key_value_heads") is None and config.get("num_attention_heads") is not None:
        filled["num_key_value_heads"] = config["num_attention_heads"]
    return filled


def _dtype(config: Mapping[str, Any]) -> dict[str, Any]:
    stated = config.get("dtype") or config.get("torch_dtype")
    return {"dtype": stated, "torch_dtype": stated} if isinstance(stated, str) else {}


def _inheriting(nested: Mapping[str, Any], outer: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the embedding is the head too is said of the whole model, and read of the part."""
    if nested.get("tie_word_embeddings") is None and isinstance(outer.get("tie_word_embeddings"), bool):
        return {**nested, "tie_word_embeddings": outer["tie_word_embeddings"]}
    return dict(nested)


def _renamed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Names that Transformers 5 has for what mlx-lm calls otherwise; a part's vocabulary is the whole's too."""
    filled = {}
    for names in _SAME:
        for one, other in (names, names[::-1]):
            if config.get(one) is None and config.get(other) is not None:
                filled[one] = config[other]
    if config.get("vocab_size") is None:
        parts = (part for key in NESTED if isinstance(part := config.get(key), dict))
        if (size := next((part["vocab_size"] for part in parts if part.get("vocab_size")), None)) is not None:
            filled["vocab_size"] = size
    return filled


def _family(config: Mapping[str, Any]) -> dict[str, Any]:
    """What single families call otherwise in Transformers 5, or leave to its code."""
    match config.get("model_type"):
        case "granitemoehybrid":
            older = {LINEAR: "mamba", FULL: "attention"}
            kinds = config.get("layer_types")
            turning = config.get("position_embedding_type") == "rope"
            return {
                "layer_types": [older.get(kind, kind) for kind in kinds] if isinstance(kinds, list) else kinds,
                "position_embedding_type": "rope" if turning else "nope",
            }
        case "apertus":  # Transformers has one kind of it
            return {"mlp_bias": False, "post_norm": False, "qk_norm": True} | {
                key: config[key] for key in ("mlp_bias", "post_norm", "qk_norm") if config.get(key) is not None
            }
        case "qwen3_vl_moe_text" if config.get("norm_topk_prob") is None:
            return {"norm_topk_prob": True}
        case "gemma4_text" if config.get("per_layer_config"):
            return _full_layers(config)
    return {}


def _full_layers(config: Mapping[str, Any]) -> dict[str, Any]:
    """Transformers 5 writes of each layer that attends to everything what older ones wrote once. Raises BadConfig."""
    older = {"head_dim": "global_head_dim", "num_key_value_heads": "num_global_key_value_heads"}
    layers, kinds = config["per_layer_config"], config.get("layer_types")
    if not isinstance(layers, dict) or not isinstance(kinds, list):
        raise BadConfig("config.json: per_layer_config is not an object, or layer_types not a list")
    settings = list(layers.values())
    full = {place for place, kind in enumerate(kinds) if kind == FULL}
    places = {int(place) for place in layers if place.isdecimal()}  # written with zeros in front: "05"
    same = all(one == settings[0] for one in settings) and isinstance(settings[0], dict)
    if not same or places != full or len(places) < len(layers) or not set(settings[0]) <= set(older):
        raise BadConfig("config.json: per_layer_config has settings that this version's code does not know")
    return {older[key]: value for key, value in settings[0].items()}


def period(layer_types: Any, others: str = SLIDING) -> int | None:
    """Every how manieth layer attends to everything, where the rest are `others`; None: no such rule fits."""
    if not isinstance(layer_types, list) or not set(layer_types) <= {FULL, others}:
        return None
    length = layer_types.index(FULL) + 1 if FULL in layer_types else len(layer_types) + 1
    regular = all((kind == FULL) == ((place + 1) % length == 0) for place, kind in enumerate(layer_types))
    return length if regular else None


def _pattern(config: Mapping[str, Any]) -> dict[str, Any]:
    """`layer_types` is the newer word for a period, and the one that counts."""
    kinds = config.get("layer_types")
    if config.get("model_type") == "exaone4":
        if isinstance(kinds, list):
            return {"sliding_window_pattern": "".join("L" if kind == SLIDING else "G" for kind in kinds)}
        stated = config.get("sliding_window_pattern")
        return {"sliding_window_pattern": "L" * (stated - 1) + "G"} if isinstance(stated, int) and stated else {}
    periods = {"sliding_window_pattern": period(kinds), "full_attention_interval": period(kinds, LINEAR)}
    return {key: length for key, length in periods.items() if length is not None}
