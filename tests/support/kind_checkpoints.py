"""Tiny checkpoints of what sees, embeds and reranks, in Hugging Face's names; and mlx-vlm, imported in silence."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mlx_vlm import utils as vlm
    from mlx_vlm.models import bert, modernbert, qwen2_5_vl, xlm_roberta

TEXT = {
    "vocab_size": 320,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": 128,
}
SEEING = TEXT | {
    "model_type": "qwen2_5_vl",
    "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
    "vision_config": {
        "model_type": "qwen2_5_vl",
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 96,
        "out_hidden_size": 64,
        "num_heads": 4,
        "fullatt_block_indexes": [1],
    },
}
ENCODERS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "bert": (bert, {"type_vocab_size": 2, "layer_norm_eps": 1e-12}, "bert."),
    "xlm-roberta": (xlm_roberta, {"type_vocab_size": 1, "pad_token_id": 1}, "roberta."),
    "modernbert": (modernbert, {"norm_eps": 1e-5}, "model."),
}
Weights = dict[str, mx.array]


def write(folder: Path, config: dict[str, Any], weights: Weights, **files: Weights) -> Path:
    """`files`: further weights, by the name of their folder."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "pt"})
    for name, more in files.items():
        (folder / name).mkdir()
        mx.save_safetensors(str(folder / name / "model.safetensors"), more)
    return folder


def seeing(folder: Path, dtype: str) -> Path:
    """Qwen2.5-VL: `visual.` and `model.`, and the patches' weight in PyTorch's order of axes."""
    config = SEEING | {"torch_dtype": dtype}
    weights = {}
    for name, weight in _random(qwen2_5_vl, "Model", config).items():
        theirs = name.replace("vision_tower", "visual").replace("language_model.model", "model")
        weights[theirs.replace("language_model.lm_head", "lm_head")] = (
            weight.transpose(0, 4, 1, 2, 3) if "patch_embed" in name else weight
        )
    return write(folder, config, weights)


def encoder(folder: Path, name: str) -> Path:
    """An embedding model with the pooler that nobody uses, and a dense layer after the pooling."""
    module, own, prefix = ENCODERS[name]
    config = TEXT | own | {"model_type": name}
    weights = {prefix + path: weight for path, weight in _random(module, "Model", config).items()}
    weights |= {f"{prefix}pooler.dense.weight": mx.ones((64, 64)), f"{prefix}pooler.dense.bias": mx.ones((64,))}
    return write(folder, config, weights, **{"2_Dense": {"linear.weight": mx.ones((64, 64))}})


def cross_encoder(folder: Path, name: str) -> Path:
    """A reranker with one label."""
    module, own, prefix = ENCODERS[name]
    config = TEXT | own | {"model_type": name, "architectures": ["AnyForSequenceClassification"], "num_labels": 1}
    weights = _random(module, "SequenceClassificationModel", config)
    heads = ("classifier", "head")
    return write(folder, config, {k if k.startswith(heads) else prefix + k: v for k, v in weights.items()})


def _random(module: Any, name: str, config: dict[str, Any]) -> Weights:
    given = {"text_config": {}, "vision_config": {}} | config
    given["model_type"] = given["model_type"].replace("-", "_")
    arguments = vlm.update_module_configs(module.ModelConfig.from_dict(given), module, given, ["text", "vision"])
    mx.random.seed(1)
    return dict(tree_flatten(getattr(module, name)(arguments).parameters()))
