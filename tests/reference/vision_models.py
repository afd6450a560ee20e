"""Tiny models that see, one of each architecture: settings, special tokens, and what they are asked.

Names and shapes of weights are not written here: whoever records takes them from Transformers, and they are recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from reference.tokenizer_files import SPECIAL, tokenizer, tokenizer_config

VOCABULARY = 400
Config = dict[str, Any]
PLAIN_SIZE = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28], "do_convert_rgb": True}

TEXT: Config = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": VOCABULARY - 1,
    "pad_token_id": VOCABULARY - 3,
}


@dataclass(frozen=True)
class SeeingModel:
    """`config` goes to Transformers' config class, `images` to preprocessor_config.json, `processor` to
    processor_config.json. `mark`: what the chat template writes for a picture. `tokens`: special ones, of which the
    first stands for a picture. `named`: those that tokenizer_config.json names. `offset_norms`: the text part's norms
    multiply by one more than their weights. `sizes` of the pictures in the cases, height and width."""

    config: Config
    images: Config
    processor: Config
    mark: str
    tokens: tuple[str, ...]
    named: dict[str, str] = field(default_factory=dict)
    offset_norms: bool = False
    sizes: tuple[tuple[int, int], ...] = ((56, 84), (120, 60), (30, 31))
    seed: int = 11


def token_id(model: SeeingModel, token: str) -> int:
    return VOCABULARY - len(SPECIAL) - len(model.tokens) + model.tokens.index(token)


def _image_id(count: int) -> int:
    return VOCABULARY - len(SPECIAL) - count


def _qwen_ids() -> Config:
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    return {name: _image_id(4) + place for place, name in enumerate(names)}


_QWEN = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
_QWEN_MARK = "<|vision_start|><|image_pad|><|vision_end|>"


def _qwen_images(patch: int) -> Config:
    return PLAIN_SIZE | {
        "image_processor_type": "Qwen2VLImageProcessor",
        "patch_size": patch,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "size": {"shortest_edge": 4 * patch * patch, "longest_edge": 96 * patch * patch},
    }


_SIGLIP: Config = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "layer_norm_eps": 1e-6,
}
_TILES = tuple(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5))
_IDEFICS = ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *_TILES)
_GEMMA = ("<image_soft_token>", "<start_of_image>", "<end_of_image>")
_PIXTRAL = ("[IMG]", "[IMG_BREAK]", "[IMG_END]")
_PIXTRAL_TOWER: Config = {
    "model_type": "pixtral",
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "head_dim": 12,
    "hidden_act": "silu",
    "image_size": 112,
    "patch_size": 14,
}


def _idefics_images(kind: str) -> Config:
    return PLAIN_SIZE | {
        "image_processor_type": f"{kind}ImageProcessor",
        "size": {"longest_edge": 112},
        "max_image_size": {"longest_edge": 56},
        "do_image_splitting": True,
        "do_pad": True,
    }


def _idefics_config(kind: str) -> Config:
    return {
        "model_type": kind,
        "image_token_id": _image_id(len(_IDEFICS)),
        "pad_token_id": VOCABULARY - 3,
        "scale_factor": 2,
        "tie_word_embeddings": False,
        "text_config": TEXT | {"model_type": "llama", "rope_theta": 5000.0},
        "vision_config": _SIGLIP | {"image_size": 56, "patch_size": 14},
    }


MODELS: dict[str, SeeingModel] = {
    "qwen2_vl": SeeingModel(
        {
            "model_type": "qwen2_vl",
            **_qwen_ids(),
            "text_config": TEXT
            | {"rope_parameters": {"rope_type": "default", "rope_theta": 5e4, "mrope_section": [2, 3, 3]}},
            "vision_config": {
                "depth": 3,
                "embed_dim": 48,
                "hidden_size": 64,
                "mlp_ratio": 2,
                "num_heads": 4,
                "patch_size": 14,
            },
        },
        _qwen_images(14),
        {"processor_class": "Qwen2VLProcessor"},
        _QWEN_MARK,
        _QWEN,
    ),
    "qwen2_5_vl": SeeingModel(
        {
            "model_type": "qwen2_5_vl",
            **_qwen_ids(),
            "text_config": TEXT
            | {"rope_parameters": {"rope_type": "default", "rope_theta": 5e4, "mrope_section": [2, 3, 3]}},
            "vision_config": {
                "depth": 4,
                "hidden_size": 48,
                "intermediate_size": 80,
                "out_hidden_size": 64,
                "num_heads": 4,
                "patch_size": 14,
                "window_size": 56,
                "fullatt_block_indexes": [1, 3],
            },
        },
        _qwen_images(14),
        {"processor_class": "Qwen2_5_VLProcessor"},
        _QWEN_MARK,
        _QWEN,
        sizes=((84, 168), (168, 84), (30, 31)),
    ),
    "qwen3_vl": SeeingModel(
        {
            "model_type": "qwen3_vl",
            **_qwen_ids(),
            "text_config": TEXT
            | {"rope_parameters": {"rope_type": "default", "rope_theta": 5e4, "mrope_section": [4, 2, 2]}},
            "vision_config": {
                "depth": 4,
                "hidden_size": 48,
                "intermediate_size": 64,
                "out_hidden_size": 64,
                "num_heads": 4,
                "patch_size": 16,
                "num_position_embeddings": 36,
                "deepstack_visual_indexes": [0, 2],
            },
        },
        _qwen_images(16),
        {"processor_class": "Qwen3VLProcessor"},
        _QWEN_MARK,
        _QWEN,
    ),
    "qwen3_5": SeeingModel(
        {
            "model_type": "qwen3_5",
            **_qwen_ids(),
            "text_config": TEXT
            | {
                "linear_num_key_heads": 2,
                "linear_num_value_heads": 4,
                "linear_key_head_dim": 16,
                "linear_value_head_dim": 16,
                "linear_conv_kernel_dim": 4,
                "layer_types": ["linear_attention", "linear_attention", "linear_attention", "full_attention"],
                "head_dim": 32,
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 5e4,
                    "partial_rotary_factor": 0.5,
                    "mrope_section": [4, 2, 2],
                    "mrope_interleaved": True,
                },
            },
            "vision_config": {
                "depth": 3,
                "hidden_size": 48,
                "intermediate_size": 64,
                "out_hidden_size": 64,
                "num_heads": 4,
                "patch_size": 16,
                "num_position_embeddings": 36,
                "deepstack_visual_indexes": [],
            },
        },
        _qwen_images(16),
        {"processor_class": "Qwen3VLProcessor"},
        _QWEN_MARK,
        _QWEN,
        offset_norms=True,
    ),
    "gemma3": SeeingModel(
        {
            "model_type": "gemma3",
            "image_token_index": _image_id(3),
            "boi_token_index": _image_id(3) + 1,
            "eoi_token_index": _image_id(3) + 2,
            "mm_tokens_per_image": 16,
            "text_config": TEXT
            | {
                "model_type": "gemma3_text",
                "query_pre_attn_scalar": 16,
                "sliding_window": 24,
                "num_hidden_layers": 6,
                "sliding_window_pattern": 3,
                "tie_word_embeddings": True,
                "final_logit_softcapping": None,
            },
            "vision_config": _SIGLIP
            | {
                "model_type": "siglip_vision_model",
                "image_size": 56,
                "patch_size": 7,
                "vision_use_head": False,
            },
        },
        PLAIN_SIZE
        | {"image_processor_type": "Gemma3ImageProcessor", "size": {"height": 56, "width": 56}, "image_seq_length": 16},
        {"processor_class": "Gemma3Processor", "image_seq_length": 16},
        "<start_of_image>",
        _GEMMA,
        named={"image_token": _GEMMA[0], "boi_token": _GEMMA[1], "eoi_token": _GEMMA[2]},
        offset_norms=True,
        seed=13,
    ),
    "idefics3": SeeingModel(
        _idefics_config("idefics3"),
        _idefics_images("Idefics3"),
        {"processor_class": "Idefics3Processor", "image_seq_len": 4},
        "<image>",
        _IDEFICS,
    ),
    "smolvlm": SeeingModel(
        _idefics_config("smolvlm"),
        _idefics_images("SmolVLM"),
        {"processor_class": "SmolVLMProcessor", "image_seq_len": 4},
        "<image>",
        _IDEFICS,
    ),
    "llava": SeeingModel(
        {
            "model_type": "llava",
            "image_token_index": _image_id(1),
            "image_seq_length": 16,
            "vision_feature_layer": -2,
            "vision_feature_select_strategy": "default",
            "text_config": TEXT | {"model_type": "llama", "head_dim": 16},
            "vision_config": _SIGLIP
            | {
                "model_type": "clip_vision_model",
                "image_size": 56,
                "patch_size": 14,
                "projection_dim": 32,
                "hidden_act": "quick_gelu",
                "layer_norm_eps": 1e-5,
            },
        },
        PLAIN_SIZE
        | {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": 56},
            "crop_size": {"height": 56, "width": 56},
            "do_center_crop": True,
            "resample": 3,
        },
        {
            "processor_class": "LlavaProcessor",
            "patch_size": 14,
            "vision_feature_select_strategy": "default",
            "image_token": "<image>",
            "num_additional_image_tokens": 1,
        },
        "<image>",
        ("<image>",),
        seed=12,
    ),
    "pixtral": SeeingModel(
        {
            "model_type": "llava",
            "image_token_index": _image_id(3),
            "image_seq_length": 1,
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "full",
            "projector_hidden_act": "gelu",
            "text_config": TEXT | {"model_type": "mistral", "sliding_window": None, "rope_theta": 5e4},
            "vision_config": _PIXTRAL_TOWER,
        },
        PLAIN_SIZE
        | {
            "image_processor_type": "PixtralImageProcessor",
            "size": {"longest_edge": 112},
            "patch_size": {"height": 14, "width": 14},
        },
        {"processor_class": "PixtralProcessor", "patch_size": 14},
        "[IMG]",
        _PIXTRAL,
    ),
    "mistral3": SeeingModel(
        {
            "model_type": "mistral3",
            "image_token_index": _image_id(3),
            "spatial_merge_size": 2,
            "vision_feature_layer": -1,
            "multimodal_projector_bias": False,
            "projector_hidden_act": "gelu",
            "text_config": TEXT | {"model_type": "mistral", "sliding_window": None, "rope_theta": 5e4},
            "vision_config": _PIXTRAL_TOWER,
        },
        PLAIN_SIZE
        | {
            "image_processor_type": "PixtralImageProcessor",
            "size": {"longest_edge": 112},
            "patch_size": {"height": 14, "width": 14},
        },
        {"processor_class": "PixtralProcessor", "patch_size": 14, "spatial_merge_size": 2},
        "[IMG]",
        _PIXTRAL,
        sizes=((56, 84), (112, 60), (28, 56)),
    ),
}

# For each the numbers of its pictures, and the text, in which # stands for the place of a picture.
CASES: dict[str, tuple[tuple[int, ...], str]] = {
    "one": ((0,), "#What is the system in this?"),
    "two": ((1, 2), "the first # and the\n# other one"),
    "long": ((0,), "#" + "the user is in the system and hello to the assistant " * 4),
    "none": ((), "hello the world"),
}


def parts(text: str) -> list[dict[str, str]]:
    """The content of a message: parts of text, and pictures in between."""
    found: list[dict[str, str]] = []
    for place, piece in enumerate(text.split("#")):
        found += [{"type": "image"}] * (place > 0) + ([{"type": "text", "text": piece}] if piece else [])
    return found


def tokenizer_json(model: SeeingModel) -> Config:
    made = tokenizer(VOCABULARY)
    vocab = made["model"]["vocab"]
    by_id = {number: token for token, number in vocab.items()}
    template = made["added_tokens"][0]
    for token in model.tokens:
        number = token_id(model, token)
        del vocab[by_id[number]]
        vocab[token] = number
        made["added_tokens"].append({**template, "id": number, "content": token})
    made["added_tokens"].sort(key=lambda token: token["id"])
    return made


def tokenizer_settings(model: SeeingModel) -> Config:
    template = (
        "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}{%- if message.content is string %}"
        "{{- message.content }}{%- else %}{%- for part in message.content %}{%- if part.type == 'image' %}{{- '"
        + model.mark
        + "' }}{%- else %}{{- part.text }}{%- endif %}{%- endfor %}{%- endif %}{{- '<|im_end|>\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
    )
    named = {"extra_special_tokens": model.named} if model.named else {}
    return tokenizer_config() | {"chat_template": template, "model_max_length": 2048} | named
