"""Which models see, and what the prompt process must know of how they do: one row a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..device import backend
from ..model.model_folder import BadModel, read_json
from ..prompt.pictures.processor import open_image_processor
from ..prompt.prompt_frames import SightData
from .picture_size import size_within
from .towers import Gemma3, Gemma4, Idefics3, Llava, Pixtral, Qwen, Tower

Config = Mapping[str, Any]


@dataclass(frozen=True)
class VisionFamily:
    """`name`: the key of its arrangement. `activation`: that of the tower, as configs name it. `facts` are numbers for
    the arrangement, from config.json, the processor's file and the image processor. `options`: what of them the image
    processor is called with. `words`: ids of tokens for the arrangement. `model_type`: mlx-vlm's name for the
    architecture, where that is another one."""

    name: str
    tower: Callable[[Any, Any], Tower]
    activation: str
    facts: Callable[[Config, Config, Any], dict[str, int]]
    options: Callable[[dict[str, int]], dict[str, Any]] = lambda facts: {}
    model_type: str | None = None
    words: Callable[[Config], dict[str, Any]] = lambda config: {}

    def named(self, config: Config) -> dict[str, Any]:
        """The config under the name that mlx-vlm has for the architecture."""
        return {**config, "model_type": self.model_type} if self.model_type else dict(config)


def _qwen(config: Config, processor: Config, images: Any) -> dict[str, int]:
    return {"merge_size": int(images.merge_size), "patch_size": int(images.patch_size)}


def _gemma3(config: Config, processor: Config, images: Any) -> dict[str, int]:
    return {"image_seq_length": int(config.get("mm_tokens_per_image") or processor.get("image_seq_length") or 256)}


def _gemma4(config: Config) -> dict[str, Any]:
    """The tokens around a picture."""
    return {"begin": config.get("boi_token_id", 255999), "end": config.get("eoi_token_id", 258882)}


def _idefics3(config: Config, processor: Config, images: Any) -> dict[str, int]:
    vision = config["vision_config"]
    side = int(vision.get("image_size", 224)) // int(vision.get("patch_size", 32))
    return {"image_seq_len": side**2 // int(config.get("scale_factor", 2)) ** 2}


def _llava(config: Config, processor: Config, images: Any) -> dict[str, int]:
    """CLIP has a token of its own before the patches, which the default strategy leaves out."""
    vision = config["vision_config"]
    return {
        "patch_size": int(vision.get("patch_size", 14)),
        "num_additional_image_tokens": int(vision.get("model_type", "clip_vision_model") == "clip_vision_model"),
        "without_first": int(config.get("vision_feature_select_strategy", "default") == "default"),
    }


def _pixtral(config: Config, processor: Config, images: Any) -> dict[str, int]:
    mistral3 = config.get("model_type") == "mistral3"
    merge = int(config.get("spatial_merge_size") or 2) if mistral3 else 1
    return {"patch_size": int(config["vision_config"].get("patch_size", 16)), "spatial_merge_size": merge}


def _pixtral_options(facts: dict[str, int]) -> dict[str, Any]:
    return {"patch_size": facts["patch_size"] * facts["spatial_merge_size"]}


TANH = "gelu_pytorch_tanh"
_QWEN = VisionFamily("qwen", Qwen, TANH, _qwen)
_IDEFICS3 = VisionFamily("idefics3", Idefics3, TANH, _idefics3, lambda facts: {"return_row_col_info": True})
_PIXTRAL = VisionFamily("pixtral", Pixtral, "silu", _pixtral, _pixtral_options)

FAMILIES: dict[str, VisionFamily] = {
    "qwen2_vl": replace(_QWEN, activation="quick_gelu"),
    "qwen2_5_vl": replace(_QWEN, activation="silu"),
    "qwen3_vl": _QWEN,
    "qwen3_vl_moe": _QWEN,
    "qwen3_5": _QWEN,
    "qwen3_5_moe": _QWEN,
    "gemma3": VisionFamily("gemma3", Gemma3, TANH, _gemma3),
    "gemma4": VisionFamily("gemma4", Gemma4, TANH, lambda config, processor, images: {}, words=_gemma4),
    "idefics3": _IDEFICS3,
    "smolvlm": _IDEFICS3,
    "llava": VisionFamily("llava", Llava, "quick_gelu", _llava),
    "pixtral": _PIXTRAL,
    "mistral3": _PIXTRAL,
}


def family_of(config: Config) -> VisionFamily | None:
    """None for an architecture whose pictures nobody knows here."""
    model_type = str(config.get("model_type"))
    vision = config.get("vision_config")
    if model_type == "llava" and isinstance(vision, dict) and vision.get("model_type") == "pixtral":
        return replace(_PIXTRAL, model_type="pixtral")
    return FAMILIES.get(model_type)


def sight_of(folder: Path, config: Config, tokenizer: Any) -> SightData:
    """What the prompt process must know. Raises BadModel."""
    family = family_of(config)
    assert family is not None
    try:
        images = open_image_processor(str(folder))
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        text = " ".join(str(error).replace(str(folder), "the model").split())[:200]
        raise BadModel(f"the image processor cannot be read from its files ({text})") from error
    path = folder / "processor_config.json"
    processor = read_json(path) if path.exists() else {}
    facts = family.facts(config, processor, images)
    token_id = next(
        (int(config[key]) for key in ("image_token_id", "image_token_index") if isinstance(config.get(key), int)), None
    )
    token = None if token_id is None else tokenizer.convert_ids_to_tokens(token_id)
    if token_id is None or not isinstance(token, str):
        raise BadModel("config.json names no token for pictures (image_token_id) that the tokenizer has")
    return SightData(
        family=family.name,
        folder=str(folder),
        token=token,
        token_id=token_id,
        facts=facts,
        words={name: str(tokenizer.convert_ids_to_tokens(number)) for name, number in family.words(config).items()},
        options=family.options(facts) | _sizes(family, config, facts, images),
    )


def _sizes(family: VisionFamily, config: Config, facts: Mapping[str, int], images: Any) -> dict[str, Any]:
    """On a CPU, pictures are scaled further down where the makers' size would take all memory."""
    if backend() != "cpu" or "patch_size" not in facts:
        return {}
    vision = config["vision_config"]
    heads = int(vision.get("num_heads") or vision.get("num_attention_heads") or 16)
    size = size_within(family.name, dict(images.size or {}), facts["patch_size"], heads)
    return {"size": size} if size else {}
