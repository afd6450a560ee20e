"""The trained model as a Hugging Face folder: weights, configurations, tokenizer, picture processor, model card."""

# ruff: noqa: E501 - texts are kept as they come out

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from . import patches
from . import tokenizer as words
from .model import Shape, Starter

_LICENSE = Path(__file__).resolve().parents[3] / "LICENSE"


def weights(model: Starter, folder: Path) -> None:
    state = {name: value.detach().to("cpu", torch.bfloat16).contiguous() for name, value in model.state_dict().items()}
    path = folder / "model.safetensors"
    save_file(state, path, metadata={"format": "pt"})
    path.chmod(0o644)


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def configs(shape: Shape, tokenizer: Tokenizer, folder: Path) -> None:
    end, pad = (tokenizer.token_to_id(words.END), tokenizer.token_to_id(words.END_OF_TEXT))
    text = shape.text
    rope = {"mrope_interleaved": True, "mrope_section": list(shape.sections), "rope_type": "default"}
    _write(
        folder / "config.json",
        {
            "architectures": ["Qwen3VLForConditionalGeneration"],
            "model_type": "qwen3_vl",
            "image_token_id": tokenizer.token_to_id(words.IMAGE),
            "video_token_id": tokenizer.token_to_id(words.VIDEO),
            "vision_start_token_id": tokenizer.token_to_id(words.VISION_START),
            "vision_end_token_id": tokenizer.token_to_id(words.VISION_END),
            "eos_token_id": end,
            "pad_token_id": pad,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "dtype": "bfloat16",
            "text_config": {
                "model_type": "qwen3_vl_text",
                "attention_bias": False,
                "attention_dropout": 0.0,
                "bos_token_id": None,
                "dtype": "bfloat16",
                "eos_token_id": end,
                "pad_token_id": pad,
                "head_dim": text.head,
                "hidden_act": "silu",
                "hidden_size": text.hidden,
                "initializer_range": 0.02,
                "intermediate_size": text.intermediate,
                "max_position_embeddings": text.context,
                "num_attention_heads": text.heads,
                "num_hidden_layers": text.layers,
                "num_key_value_heads": text.kv_heads,
                "rms_norm_eps": text.eps,
                "rope_parameters": {**rope, "rope_theta": text.theta},
                "rope_scaling": rope,
                "rope_theta": text.theta,
                "tie_word_embeddings": True,
                "use_cache": True,
                "vocab_size": text.vocabulary,
            },
            "vision_config": {
                "model_type": "qwen3_vl",
                "deepstack_visual_indexes": [shape.deep],
                "depth": shape.depth,
                "hidden_act": "gelu_pytorch_tanh",
                "hidden_size": shape.hidden,
                "in_channels": 3,
                "initializer_range": 0.02,
                "intermediate_size": shape.intermediate,
                "num_heads": shape.heads,
                "num_position_embeddings": shape.side**2,
                "out_hidden_size": text.hidden,
                "patch_size": patches.PATCH,
                "spatial_merge_size": patches.MERGE,
                "temporal_patch_size": 2,
            },
        },
    )
    _write(folder / "generation_config.json", {"do_sample": False, "eos_token_id": [end, pad], "pad_token_id": pad})
    picture = {
        "size": {"longest_edge": patches.MOST, "shortest_edge": patches.FEWEST},
        "patch_size": patches.PATCH,
        "temporal_patch_size": 2,
        "merge_size": patches.MERGE,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "processor_class": "Qwen3VLProcessor",
    }
    _write(folder / "preprocessor_config.json", {**picture, "image_processor_type": "Qwen2VLImageProcessorFast"})
    _write(folder / "video_preprocessor_config.json", {**picture, "video_processor_type": "Qwen3VLVideoProcessor"})
    words.save(tokenizer, folder, text.context)
    if _LICENSE.is_file():
        shutil.copyfile(_LICENSE, folder / "LICENSE")


def _runs(log: dict[str, Any]) -> str:
    """One line for each run; a later one went on from the weights of the one before."""
    lines = []
    for run in [*log.get("earlier", []), log]:
        versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
        lines.append(
            f"- {'Then' if lines else 'Run:'} seed {run['seed']}, {run['pictures'] / 1e6:.2f} million pictures in {run['steps']} "
            f"steps, {run['minutes']} minutes on {run['device']}, {versions}."
        )
    return "\n".join(lines)


def card(folder: Path, parameters: int, log: dict[str, Any], table: str) -> None:
    curve = log["curve"]
    picked = curve[:: max(1, len(curve) // 12)] + curve[-1:]
    losses = "\n".join(f"| {point['seconds']:.0f} | {point['step']} | {point['loss']:.4f} |" for point in picked)
    (folder / "README.md").write_text(
        f"""---
license: mit
library_name: transformers
pipeline_tag: image-text-to-text
language: en
---

# starter-vl

A vision-language model of {parameters / 1e6:.1f} million parameters that comes with mlx-serve, for trying and testing.

It was trained from nothing, on drawings and questions that a program makes, in a few minutes on one GPU. It names the
shape, colour, number and place of simple drawn shapes, and reads one large digit. Photographs, text and everything else
are beyond it, it makes mistakes, and it reads English only. Use a real model for real work.

- Shapes: circle, square, rectangle, triangle, oval, star, heart, cross, diamond; up to six, apart from each other.
- Colours: red, orange, yellow, green, blue, purple, pink, brown, black, white, grey.
- Architecture: Qwen3-VL; own byte-level BPE of {log["vocabulary"]:,} entries; Qwen's chat format; pictures are scaled to 25-36 tokens.
- Recipe: `packaging/starter/vl` of mlx-serve's repository. No outside pictures, text or weights went in; some of the digits
  are those of the font that Pillow brings.
{_runs(log)}

## Evaluation

Greedy answers to wordings, shades, forms, sizes, backgrounds, fonts and pairs of shape and colour that training never sees,
drawn by another program. An answer is right when it names what is asked for, nothing else of that kind, and ends. Training's
wordings were widened between the runs, after a look at which of these wordings the first had not understood.

{table}

## Loss

| seconds | step | loss on assistant tokens |
| --- | --- | --- |
{losses}
"""
    )
