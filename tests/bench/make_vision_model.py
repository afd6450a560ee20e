"""Writes a random-weight checkpoint of a Qwen3-VL shape, with tokenizer, template and image processor.

usage: make_vision_model.py FOLDER SHAPE [--dtype bfloat16|float16|float32]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from make_model import SHAPES, write_tokenizer

VISION = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
TOWERS: dict[str, dict[str, Any]] = {
    "tiny": {"depth": 6, "hidden_size": 192, "intermediate_size": 512, "num_heads": 6, "deepstack_visual_indexes": [2]},
    "1.7b": {
        "depth": 24,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_heads": 16,
        "deepstack_visual_indexes": [5, 11, 17],
    },
    "4b": {
        "depth": 24,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_heads": 16,
        "deepstack_visual_indexes": [5, 11, 17],
    },
    "8b": {
        "depth": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_heads": 16,
        "deepstack_visual_indexes": [8, 16, 24],
    },
}
TEMPLATE = (
    "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}{%- if message.content is string %}"
    "{{- message.content }}{%- else %}{%- for part in message.content %}{%- if part.type in ('image', 'image_url') %}"
    "{{- '<|vision_start|><|image_pad|><|vision_end|>' }}{%- else %}{{- part.text }}{%- endif %}{%- endfor %}"
    "{%- endif %}{{- '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)


def config(shape: str, stop: int, first: int, dtype: str) -> dict[str, Any]:
    text = SHAPES[shape] | {
        "model_type": "qwen3_vl_text",
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 5000000.0,
        "rope_scaling": {"rope_type": "default", "mrope_interleaved": True, "mrope_section": [24, 20, 20]},
        "tie_word_embeddings": True,
        "eos_token_id": stop,
    }
    if text["head_dim"] == 64:
        text["rope_scaling"]["mrope_section"] = [12, 10, 10]
    return {
        "model_type": "qwen3_vl",
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "tie_word_embeddings": True,
        "dtype": dtype,
        "eos_token_id": stop,
        **{f"{name}_token_id": first + place for place, name in enumerate(("vision_start", "vision_end"))},
        "image_token_id": first + 2,
        "video_token_id": first + 3,
        "text_config": text,
        "vision_config": TOWERS[shape]
        | {
            "model_type": "qwen3_vl",
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "num_position_embeddings": 2304,
            "out_hidden_size": text["hidden_size"],
        },
    }


def add_vision_tokens(folder: Path, stop: int) -> int:
    """In place of filler in front of the special tokens; gives the first one's id."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    vocab, added = content["model"]["vocab"], content["added_tokens"]
    first = min(token["id"] for token in added) - len(VISION)
    by_id = {number: token for token, number in vocab.items()}
    for place, token in enumerate(VISION):
        del vocab[by_id[first + place]]
        vocab[token] = first + place
        added.append({**added[0], "id": first + place, "content": token})
    added.sort(key=lambda token: token["id"])
    path.write_text(json.dumps(content, ensure_ascii=False))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": TEMPLATE}))
    return first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("shape", choices=TOWERS)
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16", "float32"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_vlm import utils
    from mlx_vlm.models import qwen3_vl

    stop = write_tokenizer(options.folder, SHAPES[options.shape]["vocab_size"])
    first = add_vision_tokens(options.folder, stop)
    made = config(options.shape, stop, first, options.dtype)
    arguments = utils.update_module_configs(
        qwen3_vl.ModelConfig.from_dict(json.loads(json.dumps(made))),
        qwen3_vl,
        json.loads(json.dumps(made)),
        ["text", "vision"],
    )
    mx.random.seed(0)
    model = qwen3_vl.Model(arguments)
    model.set_dtype(getattr(mx, options.dtype))
    mx.save_safetensors(
        str(options.folder / "model.safetensors"), dict(tree_flatten(model.parameters())), metadata={"format": "pt"}
    )
    images = {
        "image_processor_type": "Qwen2VLImageProcessorFast",
        "processor_class": "Qwen3VLProcessor",
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "size": {"shortest_edge": 65536, "longest_edge": 16777216},
    }
    files = {
        "config.json": made,
        "generation_config.json": {"eos_token_id": stop, "do_sample": False},
        "preprocessor_config.json": images,
        "video_preprocessor_config.json": images | {"video_processor_type": "Qwen3VLVideoProcessor"},
    }
    for name, content in files.items():
        (options.folder / name).write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
