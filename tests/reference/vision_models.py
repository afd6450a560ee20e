"""Tiny models that see, one of each architecture: settings, special tokens, and what they are asked.

Names and shapes of weights are not written here: whoever records takes them from Transformers, and they are recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from reference.tokenizer_files import SPECIAL, tokenizer, tokenizer_config
from reference.vision_settings import (
    EXPERTS,
    GEMMA,
    GEMMA4,
    GEMMA4_EXPERTS,
    GEMMA4_IMAGES,
    IDEFICS,
    PIXTRAL,
    PIXTRAL_TOWER,
    PLAIN_SIZE,
    QWEN,
    QWEN_MARK,
    SIGLIP,
    TEXT,
    VOCABULARY,
    Config,
    gemma4_config,
    idefics_config,
    idefics_images,
    image_id,
    qwen_ids,
    qwen_images,
)


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


MODELS: dict[str, SeeingModel] = {
    "qwen2_vl": SeeingModel(
        {
            "model_type": "qwen2_vl",
            **qwen_ids(),
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
        qwen_images(14),
        {"processor_class": "Qwen2VLProcessor"},
        QWEN_MARK,
        QWEN,
    ),
    "qwen2_5_vl": SeeingModel(
        {
            "model_type": "qwen2_5_vl",
            **qwen_ids(),
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
        qwen_images(14),
        {"processor_class": "Qwen2_5_VLProcessor"},
        QWEN_MARK,
        QWEN,
        sizes=((84, 168), (168, 84), (30, 31)),
    ),
    "qwen3_vl": SeeingModel(
        {
            "model_type": "qwen3_vl",
            **qwen_ids(),
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
        qwen_images(16),
        {"processor_class": "Qwen3VLProcessor"},
        QWEN_MARK,
        QWEN,
    ),
    "qwen3_5": SeeingModel(
        {
            "model_type": "qwen3_5",
            **qwen_ids(),
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
        qwen_images(16),
        {"processor_class": "Qwen3VLProcessor"},
        QWEN_MARK,
        QWEN,
        offset_norms=True,
    ),
    "gemma3": SeeingModel(
        {
            "model_type": "gemma3",
            "image_token_index": image_id(3),
            "boi_token_index": image_id(3) + 1,
            "eoi_token_index": image_id(3) + 2,
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
            "vision_config": SIGLIP
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
        GEMMA,
        named={"image_token": GEMMA[0], "boi_token": GEMMA[1], "eoi_token": GEMMA[2]},
        offset_norms=True,
        seed=13,
    ),
    "gemma4": SeeingModel(
        gemma4_config(None),
        GEMMA4_IMAGES,
        {"processor_class": "Gemma4Processor"},
        "<|image|>",
        GEMMA4,
    ),
    "gemma4_large": SeeingModel(
        gemma4_config("vision"),
        GEMMA4_IMAGES,
        {"processor_class": "Gemma4Processor"},
        "<|image|>",
        GEMMA4,
        seed=14,
    ),
    "idefics3": SeeingModel(
        idefics_config("idefics3"),
        idefics_images("Idefics3"),
        {"processor_class": "Idefics3Processor", "image_seq_len": 4},
        "<image>",
        IDEFICS,
    ),
    "smolvlm": SeeingModel(
        idefics_config("smolvlm"),
        idefics_images("SmolVLM"),
        {"processor_class": "SmolVLMProcessor", "image_seq_len": 4},
        "<image>",
        IDEFICS,
    ),
    "llava": SeeingModel(
        {
            "model_type": "llava",
            "image_token_index": image_id(1),
            "image_seq_length": 16,
            "vision_feature_layer": -2,
            "vision_feature_select_strategy": "default",
            "text_config": TEXT | {"model_type": "llama", "head_dim": 16},
            "vision_config": SIGLIP
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
            "image_token_index": image_id(3),
            "image_seq_length": 1,
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "full",
            "projector_hidden_act": "gelu",
            "text_config": TEXT | {"model_type": "mistral", "sliding_window": None, "rope_theta": 5e4},
            "vision_config": PIXTRAL_TOWER,
        },
        PLAIN_SIZE
        | {
            "image_processor_type": "PixtralImageProcessor",
            "size": {"longest_edge": 112},
            "patch_size": {"height": 14, "width": 14},
        },
        {"processor_class": "PixtralProcessor", "patch_size": 14},
        "[IMG]",
        PIXTRAL,
    ),
    "mistral3": SeeingModel(
        {
            "model_type": "mistral3",
            "image_token_index": image_id(3),
            "spatial_merge_size": 2,
            "vision_feature_layer": -1,
            "multimodal_projector_bias": False,
            "projector_hidden_act": "gelu",
            "text_config": TEXT | {"model_type": "mistral", "sliding_window": None, "rope_theta": 5e4},
            "vision_config": PIXTRAL_TOWER,
        },
        PLAIN_SIZE
        | {
            "image_processor_type": "PixtralImageProcessor",
            "size": {"longest_edge": 112},
            "patch_size": {"height": 14, "width": 14},
        },
        {"processor_class": "PixtralProcessor", "patch_size": 14, "spatial_merge_size": 2},
        "[IMG]",
        PIXTRAL,
        sizes=((56, 84), (112, 60), (28, 56)),
    ),
}


def _of_experts(name: str, experts: Config, **more: Any) -> SeeingModel:
    """The same with a mixture of experts in the part that reads text."""
    model = MODELS[name]
    config = dict(model.config)
    config["text_config"] = config["text_config"] | experts
    return replace(model, config=config | more)


MODELS |= {
    "qwen3_vl_moe": _of_experts("qwen3_vl", EXPERTS, model_type="qwen3_vl_moe"),
    "qwen3_5_moe": _of_experts("qwen3_5", EXPERTS | {"shared_expert_intermediate_size": 32}, model_type="qwen3_5_moe"),
    "gemma4_moe": _of_experts("gemma4_large", GEMMA4_EXPERTS),
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
