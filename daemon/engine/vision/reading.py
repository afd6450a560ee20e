"""Configs and names of weights as mlx-vlm reads them, from every spelling that Transformers has had."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import mlx.core as mx

from ..model.network import Unfollowed

Config = Mapping[str, Any]
_PARTS = ("language_model.", "vision_tower.", "multi_modal_projector.")
_HEADS = re.compile(r"(?:.*\.)?lm_head\.weight")
_FLAT = ("qwen2_vl", "qwen2_5_vl")
"""Architectures whose text settings mlx-vlm reads at the top."""


def text_section(config: Config) -> Config:
    """What a config says of the language part; older ones say it at the top."""
    nested = config.get("text_config")
    return nested if isinstance(nested, dict) else config


def spelled_text(config: Config, tensors: Collection[str]) -> dict[str, Any]:
    """The language part of a config that has every spelling; tied where the files hold no head."""
    text = dict(text_section(config))
    if not any(_HEADS.fullmatch(name) for name in tensors):
        text["tie_word_embeddings"] = True
    return text


def readable(config: Config, text: Config) -> dict[str, Any]:
    """For mlx-vlm. `text` as `spelled_text` gives it."""
    rotary = dict(text.get("rope_parameters") or {})
    filled: dict[str, Any] = {**text}
    if rotary.get("mrope_section"):
        filled["rope_scaling"] = {"type": "default", "mrope_section": rotary["mrope_section"]}
        filled["rope_parameters"] = {"rope_theta": 10000.0, "partial_rotary_factor": 1.0, **rotary}
    filled.setdefault("rope_theta", rotary.get("rope_theta", 10000.0))
    if config.get("mm_tokens_per_image"):
        filled["mm_tokens_per_image"] = config["mm_tokens_per_image"]
    result = {**config, "text_config": filled}
    if isinstance(vision := config.get("vision_config"), dict) and "_vl" in str(config.get("model_type")):
        # Transformers 5 calls the tower of qwen3_vl qwen3_vl_vision.
        tower = str(vision.get("model_type") or config["model_type"]).removesuffix("_vision")
        result["vision_config"] = {**vision, "model_type": tower}
    for key, image in (("image_token_id", "image_token_index"), ("image_token_index", "image_token_id")):
        if result.get(key) is None and config.get(image) is not None:
            result[key] = config[image]
    if config.get("model_type") in _FLAT:
        return {**filled, **result, "model_type": config["model_type"]}
    return result


def renamed(names: Collection[str], config: Config) -> dict[str, str]:
    """For towers of CLIP and SigLIP in LLaVA's frame: each name as mlx-vlm knows it, which is the oldest one."""
    return {name: _older(name, str(config.get("model_type"))) for name in names}


def _older(name: str, model_type: str) -> str:
    if model_type not in ("llava", "gemma3", "pixtral"):
        return name
    if name.startswith("model.") and name.removeprefix("model.").startswith(_PARTS):
        name = name.removeprefix("model.")
        if name.startswith("language_model."):
            name = name.replace("language_model.", "language_model.model.", 1)
    if name.startswith("lm_head."):
        name = f"language_model.{name}"
    if name.startswith("vision_tower.") and not name.startswith("vision_tower.vision_model."):
        name = name.replace("vision_tower.", "vision_tower.vision_model.", 1)
    return name


def turned(name: str, weight: mx.array, config: Config) -> mx.array:
    """Matrices of Qwen3-VL's experts as they were published, (experts, in, out), which is what mlx-vlm reads: what
    Transformers 5 has written has them as (experts, out, in). Their shapes tell, as they do in Transformers."""
    text = config.get("text_config")
    if config.get("model_type") != "qwen3_vl_moe" or not isinstance(text, Mapping) or weight.ndim != 3:
        return weight
    hidden, inner = text.get("hidden_size"), text.get("moe_intermediate_size")
    written = {"gate_up_proj": (2 * inner if isinstance(inner, int) else None, hidden), "down_proj": (hidden, inner)}
    one = name.rpartition(".experts.")[2]
    return weight.swapaxes(1, 2) if weight.shape[1:] == written.get(one) else weight


def check_activations(config: Config, activation: str) -> None:
    """mlx-vlm's towers have one activation each, whatever a config says. Raises Unfollowed."""
    vision = config.get("vision_config")
    stated = {
        "vision_config.hidden_act": (vision.get("hidden_act") if isinstance(vision, dict) else None, activation),
        "projector_hidden_act": (config.get("projector_hidden_act"), "gelu"),
    }
    for key, (found, known) in stated.items():
        if found not in (None, known):
            raise Unfollowed(
                f"config.json: {key} is {str(found)[:40]!r}, and this version's code for model type "
                f"{config.get('model_type')!r} computes with {known!r}; the answers would be wrong"
            )
