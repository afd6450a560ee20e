"""A folder to one of mlx-lm's networks with lazy weights; its config is read in every spelling and found followed."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from mlx_lm import utils as lm

from . import rope_modules
from .model_folder import UnsupportedModel
from .rope_settings import FULL, SLIDING, BadConfig, sections
from .spelling import LINEAR, normalised, period

_HEADS = re.compile(r"(?:.*\.)?lm_head\.weight|output\.weight|embed_out\.weight")

Classes = Callable[[dict[str, Any]], tuple[type, type]]


class Unfollowed(UnsupportedModel):
    """The config asks for arithmetic that the architecture's code does not have."""


def open_network(
    folder: Path, config: Mapping[str, Any], classes: Classes = lm._get_classes
) -> tuple[Any, dict[str, Any]]:
    """The network, its weights not read yet, and the config as mlx-lm leaves it. `config`: what config.json holds.

    Raises Unfollowed, BadConfig, and what mlx-lm raises.
    """
    tensors = tensor_names(folder)
    spelled = every_spelling(config, tensors)
    _check_presence(spelled)
    check_layers(spelled, len(tensors))
    network, read = lm.load_model(
        folder, lazy=True, strict=True, model_config=spelled, get_model_classes=classes, trust_remote_code=False
    )
    try:
        rope_modules.check(network, config)
    except rope_modules.Unread as error:
        raise Unfollowed(str(error)) from error
    return network, read


def every_spelling(config: Mapping[str, Any], tensors: Collection[str]) -> dict[str, Any]:
    """The config as mlx-lm and mlx-vlm should see it. `tensors`: the names of the weights. Raises BadConfig."""
    has_head = any(_HEADS.fullmatch(name) for name in tensors)
    spelled = normalised(lm._decode_tagged_floats(dict(config)), has_head=has_head, required=required_keys)
    # generation_config.json has the last word, and mlx-lm would ask it before this config.
    spelled.pop("eos_token_id", None)
    return spelled


def required_keys(model_type: str) -> frozenset[str]:
    """The keys without which mlx-lm's class for a model type cannot be made; none where there is no such class."""
    arguments = _arguments(model_type)
    if arguments is None or "from_dict" in vars(arguments):
        return frozenset()
    parameters = inspect.signature(arguments).parameters.values()
    return frozenset(parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty)


def _arguments(model_type: str) -> type | None:
    name = lm.MODEL_REMAPPING.get(model_type, model_type)
    if not name.replace("-", "_").isidentifier():
        return None
    try:
        module = importlib.import_module(f"mlx_lm.models.{name}")
    except ImportError:
        return None
    return getattr(module, "ModelArgs", None)


def _check_presence(config: Mapping[str, Any]) -> None:
    model_type = str(config.get("model_type"))
    if missing := sorted(required_keys(model_type) - set(config)):
        raise BadConfig(f"config.json lacks {', '.join(missing[:4])}, which model type {model_type!r} needs")


def check_layers(config: Mapping[str, Any], tensors: int) -> None:
    """A network is built before its weights are looked at: a thousand million layers would take all memory. `tensors`:
    how many the weight files hold. Raises BadConfig, and Unfollowed where the layers' order is not known."""
    _check_periods(config)
    for section in sections(config):
        for key in ("num_hidden_layers", "num_layers", "n_layers", "n_layer", "num_transformer_layers"):
            claimed = section.get(key)
            if isinstance(claimed, int) and 0 < tensors < claimed:
                raise BadConfig(f"config.json: {key} is {claimed}, and the weight files hold {tensors} tensors")


def _check_periods(config: Mapping[str, Any]) -> None:
    """Raises Unfollowed where kinds of layers alternate by no rule, and the code knows only rules."""
    for section in sections(config):
        kinds, arguments = section.get("layer_types"), _arguments(str(section.get("model_type")))
        if not isinstance(kinds, list) or arguments is None or "layer_types" in _keys(arguments):
            continue
        for key, others in (("sliding_window_pattern", SLIDING), ("full_attention_interval", LINEAR)):
            by_rule = key in _keys(arguments) and not isinstance(section.get(key), str)
            if by_rule and FULL in kinds and others in kinds and period(kinds, others) is None:
                raise Unfollowed(
                    "config.json: layer_types has an order that this version's code for model type "
                    f"{section.get('model_type')!r} does not know; the answers would be wrong"
                )


def _keys(arguments: type) -> frozenset[str]:
    return frozenset(inspect.signature(arguments).parameters)


def tensor_names(folder: Path) -> set[str]:
    """Unreadable headers are skipped here; loading the weights reports them."""
    names: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            try:
                names |= set(json.loads(file.read(min(length, 100 << 20))))
            except (ValueError, TypeError, RecursionError):
                continue
    return names
