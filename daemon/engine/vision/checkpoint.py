"""A folder of a model that sees to its network, the weights not read yet.

mlx-vlm reads the folder: its names of weights, quantized ones, towers. Its language part is then taken out, and
mlx-lm's network for the same architecture gets the weights: that is what text models run on, at full speed in our
batch.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import msgspec
from mlx.utils import tree_flatten
from mlx_lm import utils as lm

from ...protocol import Load, Loaded
from ..model import rope_modules
from ..model.load import LanguageModel, load
from ..model.model_folder import UseTokenizer, read_json
from ..model.network import Unfollowed, check_layers, every_spelling, tensor_names
from .axes import pair_axes
from .families import family_of, sight_of
from .reading import check_activations, readable, renamed, spelled_text, text_section, turned
from .seeing import SeeingNetwork

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mlx_vlm import utils as vlm

# What a part that reads text is called in mlx-lm, where that is not its own model type.
_LANGUAGE = {
    "qwen2_vl": "qwen2",
    "qwen2_vl_text": "qwen2",
    "qwen2_5_vl": "qwen2",
    "qwen2_5_vl_text": "qwen2",
    "qwen3_vl": "qwen3",
    "qwen3_vl_text": "qwen3",
    "qwen3_vl_moe": "qwen3_moe",
    "qwen3_vl_moe_text": "qwen3_moe",
    "qwen3_5_text": "qwen3_5",
    "qwen3_5_moe_text": "qwen3_5",
    "gemma3": "gemma3_text",
}
_CLASSES = {"qwen3_5": ("TextModel", "TextModelArgs")}


def open_seeing(folder: Path, config: Mapping[str, Any]) -> tuple[SeeingNetwork, dict[str, Any]]:
    """The network and the config in every spelling. `config`: what config.json holds.

    Raises Unfollowed, BadConfig, and what mlx-vlm raises.
    """
    family = family_of(config)
    if family is None:
        raise Unfollowed(
            f"this version of mlx-serve has no code for what model type {config.get('model_type')!r} does with pictures"
        )
    tensors = tensor_names(folder)
    spelled = every_spelling(config, tensors)
    check_layers(spelled, len(tensors))
    check_activations(config, family.activation)
    text = spelled_text(spelled, tensors)
    whole, _ = open_whole(folder, config)
    language = _language(whole, text)
    try:
        rope_modules.check(language, text_section(config))
    except rope_modules.Unread as error:
        raise Unfollowed(str(error)) from error
    for part in ("language_model", "audio_tower", "embed_audio"):
        whole.pop(part, None)
    network = SeeingNetwork(language, whole, family.tower(whole, whole.config), axes=_axes(text, language))
    network.eval()
    return network, spelled


def open_whole(folder: Path, config: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """mlx-vlm's model, whatever the architecture, and the config that it was given. Nothing is written to weight files,
    whatever is in them. Raises BadConfig, and what mlx-vlm raises."""
    tensors = tensor_names(folder)
    family, spelled = family_of(config), every_spelling(config, tensors)
    if family is not None:
        spelled = readable(family.named(config), spelled_text(spelled, tensors))
    given = copy.deepcopy(spelled)

    def weights(path: str) -> dict[str, mx.array]:
        loaded: Any = mx.load(path)
        names = renamed(loaded, spelled)
        return {names[name]: turned(name, weight, spelled) for name, weight in loaded.items()}

    kept = vlm.load_config, vlm._load_safetensors
    vlm.load_config, vlm._load_safetensors = (lambda *_, **__: given), weights
    try:
        return vlm.load_model(folder, lazy=True), spelled
    finally:
        vlm.load_config, vlm._load_safetensors = kept


def _language(whole: Any, text: Mapping[str, Any]) -> nn.Module:
    """mlx-lm's network with the weights of mlx-vlm's language part, quantized where those are."""
    model_type = str(text.get("model_type") or "")
    name = _LANGUAGE.get(model_type) or lm.MODEL_REMAPPING.get(model_type, model_type)
    if not name.isidentifier():
        raise Unfollowed(f"config.json names no model type for the part that reads text ({model_type[:40]!r})")
    try:
        module = importlib.import_module(f"mlx_lm.models.{name}")
    except ImportError:
        raise Unfollowed(f"mlx-lm does not support the part that reads text (model type {model_type!r})") from None
    network_class, arguments = (getattr(module, each) for each in _CLASSES.get(name, ("Model", "ModelArgs")))
    defaults = dataclasses.asdict(whole.config.text_config)
    stated = {key: value for key, value in text.items() if value is not None}
    language: nn.Module = network_class(arguments.from_dict({**defaults, **stated, "model_type": name}))
    theirs = {_renamed(path): module for path, module in whole.language_model.named_modules()}
    weights = {_renamed(path): weight for path, weight in tree_flatten(whole.language_model.parameters())}
    if weights.get("lm_head.weight") is weights["model.embed_tokens.weight"]:
        weights = {path: weight for path, weight in weights.items() if not path.startswith("lm_head.")}
    if hasattr(language, "sanitize"):
        weights = language.sanitize(weights)

    def how(path: str, module: nn.Module) -> bool | dict[str, Any]:
        packed = theirs.get(path)
        if packed is None or f"{path}.scales" not in weights:
            return False
        return {"group_size": packed.group_size, "bits": packed.bits, "mode": packed.mode}

    nn.quantize(language, class_predicate=how)
    language.load_weights(list(weights.items()), strict=True)
    return language


def _renamed(path: str) -> str:
    """Some of mlx-vlm's language parts have no inner model."""
    return path if path.startswith(("model.", "lm_head")) or not path else f"model.{path}"


def _axes(text: Mapping[str, Any], language: Any) -> list[int] | None:
    stated = {**(text.get("rope_scaling") or {}), **(text.get("rope_parameters") or {})}
    sections = stated.get("mrope_section")
    if not sections:
        return None
    rope = next(layer.self_attn.rope for layer in language.model.layers if hasattr(layer, "self_attn"))
    pairs = rope_modules.wavelengths(rope).size
    interleaved = bool(stated.get("mrope_interleaved")) or str(text.get("model_type")).startswith("qwen3")
    return pair_axes(sections, pairs, interleaved=interleaved)


def load_seeing(request: Load, use_tokenizer: UseTokenizer | None = None) -> tuple[LanguageModel, Loaded]:
    """Bring a model that sees into memory. Raises BadModel, UnsupportedModel, MemoryError."""
    model, loaded = load(request, use_tokenizer, open_seeing)
    folder = Path(request.path)
    sight = sight_of(folder, read_json(folder / "config.json"), model.tokenizer)
    capabilities = (*model.capabilities, "vision")
    seeing = dataclasses.replace(model, sight=sight, capabilities=capabilities)
    return seeing, msgspec.structs.replace(loaded, capabilities=capabilities)
