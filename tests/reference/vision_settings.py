"""Parts of the settings of tiny models that see: text and towers, image processors, and special tokens."""

from __future__ import annotations

from typing import Any

from reference.tokenizer_files import SPECIAL

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


EXPERTS: Config = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
}
GEMMA4_EXPERTS: Config = {
    "enable_moe_block": True,
    "num_experts": 4,
    "top_k_experts": 2,
    "moe_intermediate_size": 24,
}


def image_id(count: int) -> int:
    return VOCABULARY - len(SPECIAL) - count


def qwen_ids() -> Config:
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    return {name: image_id(4) + place for place, name in enumerate(names)}


QWEN = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
QWEN_MARK = "<|vision_start|><|image_pad|><|vision_end|>"


def qwen_images(patch: int) -> Config:
    return PLAIN_SIZE | {
        "image_processor_type": "Qwen2VLImageProcessor",
        "patch_size": patch,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "size": {"shortest_edge": 4 * patch * patch, "longest_edge": 96 * patch * patch},
    }


SIGLIP: Config = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "layer_norm_eps": 1e-6,
}
TILES = tuple(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5))
IDEFICS = ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *TILES)
GEMMA = ("<image_soft_token>", "<start_of_image>", "<end_of_image>")
PIXTRAL = ("[IMG]", "[IMG_BREAK]", "[IMG_END]")
PIXTRAL_TOWER: Config = {
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


def idefics_images(kind: str) -> Config:
    return PLAIN_SIZE | {
        "image_processor_type": f"{kind}ImageProcessor",
        "size": {"longest_edge": 112},
        "max_image_size": {"longest_edge": 56},
        "do_image_splitting": True,
        "do_pad": True,
    }


def idefics_config(kind: str) -> Config:
    return {
        "model_type": kind,
        "image_token_id": image_id(len(IDEFICS)),
        "pad_token_id": VOCABULARY - 3,
        "scale_factor": 2,
        "tie_word_embeddings": False,
        "text_config": TEXT | {"model_type": "llama", "rope_theta": 5000.0},
        "vision_config": SIGLIP | {"image_size": 56, "patch_size": 14},
    }


GEMMA4 = ("<|image|>", "<|image>", "<image|>")
GEMMA4_IMAGES = PLAIN_SIZE | {
    "image_processor_type": "Gemma4ImageProcessor",
    "do_normalize": False,
    "patch_size": 8,
    "pooling_kernel_size": 2,
    "max_soft_tokens": 70,
}


def gemma4_config(both_ways: str | None) -> Config:
    """The small ones have embeddings for each layer and share keys, the large ones let a picture's tokens see ahead."""
    kinds = ["sliding_attention", "sliding_attention", "full_attention"]
    return {
        "model_type": "gemma4",
        "image_token_id": image_id(3),
        "boi_token_id": image_id(3) + 1,
        "eoi_token_id": image_id(3) + 2,
        "video_token_id": VOCABULARY + 1,
        "audio_token_id": VOCABULARY + 2,
        "audio_config": None,
        "text_config": TEXT
        | {
            "model_type": "gemma4_text",
            "num_hidden_layers": 6,
            "layer_types": kinds * 2,
            "global_head_dim": 32,
            "sliding_window": 24,
            "tie_word_embeddings": True,
            "hidden_size_per_layer_input": 0 if both_ways else 16,
            "vocab_size_per_layer_input": VOCABULARY,
            "num_kv_shared_layers": 0 if both_ways else 3,
            "use_bidirectional_attention": both_ways,
            "final_logit_softcapping": 30.0,
        },
        "vision_config": {
            "model_type": "gemma4_vision",
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "head_dim": 12,
            "global_head_dim": 12,
            "patch_size": 8,
            "pooling_kernel_size": 2,
            "position_embedding_size": 64,
        },
    }
