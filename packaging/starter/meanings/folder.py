"""What both retrieval models have in their folders: config, generation_config, licence, and the tables of the card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from .scoring import Score
from .vocabulary import END, END_OF_TEXT

if TYPE_CHECKING:
    from ..llm.model import Shape  # needs torch

_LICENCE = Path(__file__).parents[3] / "LICENSE"


def write(path: Path, values: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def configs(shape: Shape, tokenizer: Tokenizer, folder: Path) -> None:
    end, pad = tokenizer.token_to_id(END), tokenizer.token_to_id(END_OF_TEXT)
    write(
        folder / "config.json",
        {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": pad,
            "dtype": "bfloat16",
            "eos_token_id": end,
            "head_dim": shape.head,
            "hidden_act": "silu",
            "hidden_size": shape.hidden,
            "initializer_range": 0.02,
            "intermediate_size": shape.intermediate,
            "max_position_embeddings": shape.context,
            "max_window_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_hidden_layers": shape.layers,
            "num_key_value_heads": shape.kv_heads,
            "pad_token_id": pad,
            "rms_norm_eps": shape.eps,
            "rope_parameters": {"rope_theta": shape.theta, "rope_type": "default"},
            "rope_scaling": None,
            "rope_theta": shape.theta,
            "sliding_window": None,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "use_cache": True,
            "use_sliding_window": False,
            "vocab_size": shape.vocabulary,
        },
    )
    write(folder / "generation_config.json", {"do_sample": False, "eos_token_id": [end, pad], "pad_token_id": pad})
    shutil.copyfile(_LICENCE, folder / "LICENSE")


def results(scores: dict[str, Score]) -> str:
    rows = [f"| {task} | {s.cases} | {100 * s.accuracy:.1f} % |" for task, s in scores.items() if s.cases]
    return "\n".join(["| task | cases | accuracy |", "| --- | --- | --- |", *rows])


def losses(log: dict[str, Any]) -> str:
    curve = log["curve"]
    picked = curve[:: max(1, len(curve) // 12)] + curve[-1:]
    rows = [f"| {p['seconds']:.0f} | {p['step']} | {p['loss']:.4f} | {100 * p['right']:.1f} % |" for p in picked]
    return "\n".join(["| seconds | step | loss | right in training |", "| --- | --- | --- | --- |", *rows])


def run(log: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in log["versions"].items())
    return (
        f"seed {log['seed']}, {log['texts'] / 1e6:.1f} million texts in {log['steps']} steps, {log['minutes']} minutes "
        f"on {log['device']},\n  {versions}"
    )
