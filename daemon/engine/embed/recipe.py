"""What a repository's Sentence Transformers files say of turning token states into one vector.

modules.json lists the steps; each step's folder has a config.json. Without these files: the last token's state of a
decoder, the mean of an encoder's, both normalised. Knows no MLX.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..model.model_folder import BadModel, UnsupportedModel, read_json, read_list

MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
_LEGACY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_TRANSFORMER_FILES = ("", "roberta_", "distilbert_", "camembert_", "albert_", "xlm-roberta_", "xlnet_")
_MATRYOSHKA = re.compile(r"matryoshka|\bMRL\b|qwen3-embedding|embedding-?gemma", re.IGNORECASE)


@dataclass(frozen=True)
class Projection:
    """A dense layer after the pooling: a folder with its weights, `activation` as torch names it."""

    folder: Path
    bias: bool
    activation: str


@dataclass(frozen=True)
class Recipe:
    """`pooling`: modes whose results are put side by side. `with_prompt`: a prompt's tokens are pooled too.

    `max_length` in tokens, where it is stated. `shortens`: the first dimensions stand for the whole (Matryoshka).
    """

    pooling: tuple[str, ...]
    with_prompt: bool
    projections: tuple[Projection, ...]
    normalize: bool
    max_length: int | None
    lower_case: bool
    prompts: Mapping[str, str]
    default_prompt: str | None
    shortens: bool


def read_recipe(folder: Path, config: Mapping[str, Any], name: str, *, decoder: bool) -> Recipe:
    """`name` is what the model is called here. Raises BadModel, UnsupportedModel."""
    own = _optional(folder / "config_sentence_transformers.json")
    transformer = _transformer(folder)
    pooling, with_prompt, projections, normalize = _steps(folder, decoder)
    length = transformer.get("max_seq_length")
    prompts = own.get("prompts")
    default = own.get("default_prompt_name")
    return Recipe(
        pooling=pooling,
        with_prompt=with_prompt,
        projections=projections,
        normalize=normalize,
        max_length=length if isinstance(length, int) and length > 0 else None,
        lower_case=transformer.get("do_lower_case") is True,
        prompts={str(key): str(text) for key, text in prompts.items()} if isinstance(prompts, dict) else {},
        default_prompt=default if isinstance(default, str) else None,
        shortens=_shortens(folder, config, own, name),
    )


def _transformer(folder: Path) -> dict[str, Any]:
    for prefix in _TRANSFORMER_FILES:
        path = folder / f"sentence_{prefix or 'bert_'}config.json"
        if path.exists():
            return read_json(path)
    return {}


def _steps(folder: Path, decoder: bool) -> tuple[tuple[str, ...], bool, tuple[Projection, ...], bool]:
    pooling: tuple[str, ...] = ()
    with_prompt, projections, normalize = True, [], False
    if not (folder / "modules.json").exists():
        if (folder / "1_Pooling" / "config.json").exists():
            pooling, with_prompt = _pooling(folder / "1_Pooling")
        return pooling or (("lasttoken",) if decoder else ("mean",)), with_prompt, (), True
    for index, (kind, path) in enumerate(_modules(folder)):
        where = folder / path
        if normalize:
            raise UnsupportedModel(f"modules.json has a {kind} step after the normalising one")
        if index == 0 and kind == "Transformer" and not path:
            continue
        if kind == "Pooling" and not pooling:
            pooling, with_prompt = _pooling(where)
        elif kind == "Dense" and pooling:
            projections.append(_projection(where))
        elif kind == "Normalize" and pooling:
            normalize = True
        else:
            raise UnsupportedModel(
                f"modules.json has a {kind} step, which this version of mlx-serve does not know there"
            )
    if not pooling:
        raise UnsupportedModel("modules.json has no Pooling step: the model gives a vector for each token")
    return pooling, with_prompt, tuple(projections), normalize


def _modules(folder: Path) -> list[tuple[str, str]]:
    """The last part of each step's class, and its folder."""
    steps = []
    for entry in read_list(folder / "modules.json"):
        if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
            raise BadModel("modules.json lists something that is no module")
        path = str(entry.get("path") or "")
        if "/" in path or path.startswith("."):
            raise BadModel("modules.json names a folder that is not the model's")
        steps.append((entry["type"].rpartition(".")[2], path))
    return steps


def _pooling(where: Path) -> tuple[tuple[str, ...], bool]:
    config = read_json(where / "config.json")
    stated = config.get("pooling_mode")
    if stated is None:
        stated = [mode for key, mode in _LEGACY.items() if config.get(key)] or "mean"
    modes = (stated,) if isinstance(stated, str) else tuple(stated)
    if unknown := [mode for mode in modes if mode not in MODES]:
        raise UnsupportedModel(f"{where.name}/config.json asks for the pooling {str(unknown[0])[:40]!r}")
    return modes, config.get("include_prompt", True) is not False


def _projection(where: Path) -> Projection:
    config = read_json(where / "config.json")
    for key, usual in (("module_input_name", "sentence_embedding"), ("module_output_name", "sentence_embedding")):
        if config.get(key) not in (None, usual):
            raise UnsupportedModel(f"{where.name}/config.json: {key} is {str(config[key])[:40]!r}")
    if config.get("use_residual"):
        raise UnsupportedModel(f"{where.name}/config.json asks for a residual connection")
    name = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    return Projection(where, config.get("bias", True) is not False, str(name or "identity"))


def _shortens(folder: Path, config: Mapping[str, Any], own: Mapping[str, Any], name: str) -> bool:
    """Nothing in the weights tells; a config, the model card or the name of a family that is known may."""
    if any(place.get(key) for place in (config, own) for key in ("matryoshka_dimensions", "matryoshka_dims")):
        return True
    if own.get("truncate_dim") or _MATRYOSHKA.search(name):
        return True
    card = folder / "README.md"
    return card.exists() and bool(_MATRYOSHKA.search(card.read_text("utf-8", "replace")))


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}
