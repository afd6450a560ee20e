"""config.json in every spelling at once: what Transformers 5 writes, what older ones wrote, what mlx-lm reads.

Transformers 5 puts rotary positions into `rope_parameters` (flat, or one per layer type) and the type of the weights
into `dtype`; older versions wrote `rope_theta`, `rope_scaling`, `partial_rotary_factor`, names of single families, and
`torch_dtype`. Most of mlx-lm's architectures know only the latter and compute with their defaults where they find
nothing, so all spellings are filled in from the one that is there. Rules of precedence are those of Transformers 5
(`RotaryEmbeddingConfigMixin` in its modeling_rope_utils.py). Knows no weights and no MLX.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"
PLAIN = "default"

_NESTED = ("text_config", "llm_config", "language_config")
_BASES = ("rope_theta", "rotary_emb_base", "rope_freq_constant", "rope_embedding_base", "global_rope_theta")
_LOCAL_BASES = ("rope_local_base_freq", "swa_rope_theta", "rope_local_theta", "local_rope_theta")
_FRACTIONS = ("partial_rotary_factor", "rotary_pct")
_TYPES = {"mrope": PLAIN, "su": "longrope"}
# What knows the length that a model was trained for before it was stretched.
_STRETCHED = ("llama3", "yarn", "longrope")
# Architectures of mlx-lm that look up `rope_parameters` by a layer's type.
_BY_LAYER_TYPE = ("gemma4_text", "laguna", "mellum", "spark2_5")
# What has the same meaning under both names, in either direction.
_SAME = (("num_experts", "num_local_experts"), ("block_dim", "hidden_size"), ("n_ctx", "n_positions"))
_OF_ROTATION = frozenset({"rope_type", "type", "rope_theta", *_FRACTIONS})


class BadConfig(ValueError):
    """Two spellings of one thing do not agree, or something is not of the type it must be, or is not there."""


@dataclass(frozen=True)
class Rotation:
    """Rotary positions of one layer type. `base` and `fraction` (of a head's width that turns) None: not stated.

    `settings` are the other keys, such as `factor`; `kind` is the rope type, PLAIN for none.
    """

    base: Any
    kind: str
    fraction: float | None
    settings: Mapping[str, Any]

    def spelled(self) -> dict[str, Any]:
        """As one dict of `rope_parameters`."""
        stated = {"rope_theta": self.base, "partial_rotary_factor": self.fraction}
        return {
            **self.settings,
            "rope_type": self.kind,
            "type": self.kind,
            **{key: value for key, value in stated.items() if value is not None},
        }


def sections(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The parts that may describe a language model: the whole, and the ones nested for it in a model that sees."""
    yield config
    for key in _NESTED:
        if isinstance(nested := config.get(key), dict):
            yield from sections(nested)


def normalised(
    config: Mapping[str, Any], *, has_head: bool, required: Callable[[str], Collection[str]]
) -> dict[str, Any]:
    """A copy that says everything in every spelling. Raises BadConfig.

    `has_head`: the weights hold a language head of their own. `required` gives, for a model type, the keys that its
    architecture needs.
    """
    result = dict(config)
    for key in _NESTED:
        if isinstance(nested := config.get(key), dict):
            result[key] = normalised(_inheriting(nested, config), has_head=has_head, required=required)
    result |= _dtype(config) | _rotary(config) | _pattern(config) | _renamed(config) | _family(config)
    if result.get("tie_word_embeddings") is None:
        result["tie_word_embeddings"] = not has_head
    wanted = required(str(config.get("model_type")))
    return result | {key: value for key, value in _heads(config).items() if key in wanted}


def rotations(config: Mapping[str, Any]) -> dict[str, Rotation]:
    """What one section says of its rotary positions, by layer type; FULL alone where it does not distinguish them.

    Empty where it says nothing. Raises BadConfig.
    """
    parameters, scaling = _object(config, "rope_parameters"), _object(config, "rope_scaling")
    base = next((config[key] for key in _BASES if config.get(key) is not None), None)
    fraction = next((config[key] for key in _FRACTIONS if config.get(key) is not None), None)
    local = next((config[key] for key in _LOCAL_BASES if config.get(key) is not None), None)
    if any(isinstance(value, dict) for value in parameters.values()):
        found = {
            layer: _rotation(config, entry, base, fraction)
            for layer, entry in parameters.items()
            if isinstance(entry, dict)
        }
        if scaling and all(rotation.kind == PLAIN for rotation in found.values()) and _kind(scaling) != PLAIN:
            raise BadConfig("config.json: rope_scaling and rope_parameters name different rope types")
        return found
    if parameters and scaling and _kind(parameters) != _kind(scaling):
        raise BadConfig("config.json: rope_scaling and rope_parameters name different rope types")
    if not parameters and not scaling and base is None and local is None and fraction is None:
        return {}
    found = {FULL: _rotation(config, scaling | parameters, base, fraction)}
    if local is not None:
        partly = found[FULL].fraction if found[FULL].kind != "proportional" else None
        found[SLIDING] = Rotation(local, PLAIN, partly, {})
    return found


def _rotation(config: Mapping[str, Any], entry: Mapping[str, Any], base: Any, fraction: Any) -> Rotation:
    kind = _kind(entry)
    settings = {key: value for key, value in entry.items() if key not in _OF_ROTATION}
    if isinstance(factor := settings.get("factor"), int) and not isinstance(factor, bool):
        settings["factor"] = float(factor)
    if kind in _STRETCHED:
        trained = config.get("original_max_position_embeddings") or settings.get("original_max_position_embeddings")
        if trained := trained or config.get("max_position_embeddings"):
            settings["original_max_position_embeddings"] = trained
    if kind == "yarn" and settings.get("factor") is None:
        settings["factor"] = _ratio(config, settings)
    own_fraction = next((entry[key] for key in _FRACTIONS if entry.get(key) is not None), fraction)
    return Rotation(entry["rope_theta"] if entry.get("rope_theta") is not None else base, kind, own_fraction, settings)


def _ratio(config: Mapping[str, Any], settings: Mapping[str, Any]) -> float:
    longest, trained = config.get("max_position_embeddings"), settings.get("original_max_position_embeddings")
    if not isinstance(longest, int) or not isinstance(trained, int) or trained <= 0:
        raise BadConfig("config.json: rope_parameters of type yarn has no factor")
    return longest / trained


def _kind(entry: Mapping[str, Any]) -> str:
    """Old files may have both keys, and then Transformers reads `rope_type`."""
    kind = entry.get("rope_type") or entry.get("type") or PLAIN
    return _TYPES.get(str(kind), str(kind))


def _object(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadConfig(f"config.json: {key} is not an object")
    return value


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
        spelled |= dict.fromkeys(_BASES, main.base)
        if isinstance(attention := config.get("attn_config"), dict):
            spelled["attn_config"] = {"rope_theta": main.base, **attention}
    if main.fraction is not None:
        spelled |= dict.fromkeys(_FRACTIONS, main.fraction)
        if config.get("rotary_dim") is None and (width := head_width(config)) is not None:
            spelled["rotary_dim"] = int(width * main.fraction)
    if (sliding := found.get(SLIDING)) is not None and sliding.base is not None:
        spelled |= dict.fromkeys(_LOCAL_BASES, sliding.base)
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


def head_width(config: Mapping[str, Any]) -> int | None:
    """Transformers' rule: `head_dim`, else the hidden size shared among the heads."""
    stated, hidden, heads = (config.get(key) for key in ("head_dim", "hidden_size", "num_attention_heads"))
    if isinstance(stated, int) and stated > 0:
        return stated
    if isinstance(hidden, int) and isinstance(heads, int) and heads > 0:
        return hidden // heads
    return None


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
        parts = (part for key in _NESTED if isinstance(part := config.get(key), dict))
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
        case "qwen3_vl_moe_text" if config.get("norm_topk_prob") is None:
            return {"norm_topk_prob": True}
    return {}


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
