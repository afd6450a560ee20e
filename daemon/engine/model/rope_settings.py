"""Rotary positions as config.json states them, by layer type, in the spelling of any version of Transformers.

Transformers 5 writes `rope_parameters` (flat, or one per layer type); older versions wrote `rope_theta`,
`rope_scaling`, `partial_rotary_factor` and names of single families. Rules of precedence are those of Transformers 5
(`RotaryEmbeddingConfigMixin` in its modeling_rope_utils.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

FULL, SLIDING = "full_attention", "sliding_attention"
PLAIN = "default"
BASES = ("rope_theta", "rotary_emb_base", "rope_freq_constant", "rope_embedding_base", "global_rope_theta")
LOCAL_BASES = ("rope_local_base_freq", "swa_rope_theta", "rope_local_theta", "local_rope_theta")
FRACTIONS = ("partial_rotary_factor", "rotary_pct")
NESTED = ("text_config", "llm_config", "language_config")

_TYPES = {"mrope": PLAIN, "su": "longrope"}
# What knows the length that a model was trained for before it was stretched.
_STRETCHED = ("llama3", "yarn", "longrope")
_OF_ROTATION = frozenset({"rope_type", "type", "rope_theta", *FRACTIONS})


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
    for key in NESTED:
        if isinstance(nested := config.get(key), dict):
            yield from sections(nested)


def rotations(config: Mapping[str, Any]) -> dict[str, Rotation]:
    """What one section says of its rotary positions, by layer type; FULL alone where it does not tell them apart.

    Empty where it says nothing. Raises BadConfig.
    """
    parameters, scaling = _object(config, "rope_parameters"), _object(config, "rope_scaling")
    base = next((config[key] for key in BASES if config.get(key) is not None), None)
    fraction = next((config[key] for key in FRACTIONS if config.get(key) is not None), None)
    local = next((config[key] for key in LOCAL_BASES if config.get(key) is not None), None)
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
    own_fraction = next((entry[key] for key in FRACTIONS if entry.get(key) is not None), fraction)
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


def head_width(config: Mapping[str, Any]) -> int | None:
    """Transformers' rule: `head_dim`, else the hidden size shared among the heads."""
    stated, hidden, heads = (config.get(key) for key in ("head_dim", "hidden_size", "num_attention_heads"))
    if isinstance(stated, int) and stated > 0:
        return stated
    if isinstance(hidden, int) and isinstance(heads, int) and heads > 0:
        return hidden // heads
    return None
