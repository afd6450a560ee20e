"""The trained model as a Hugging Face folder: weights first, then what describes them."""

# ruff: noqa: E501 - texts are kept as they come out

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from . import tokenizer as words
from .model import Shape, Starter


def weights(model: Starter, folder: Path) -> None:
    state = {
        name: value.detach().to("cpu", torch.bfloat16).contiguous()
        for name, value in model.state_dict().items()
        if name not in ("cos", "sin")
    }
    path = folder / "model.safetensors"
    save_file(state, path, metadata={"format": "pt"})
    path.chmod(0o644)


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def configs(shape: Shape, tokenizer: Tokenizer, folder: Path) -> None:
    end, pad = (tokenizer.token_to_id(words.END), tokenizer.token_to_id(words.END_OF_TEXT))
    _write(
        folder / "config.json",
        {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": None,
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
    _write(folder / "generation_config.json", {"do_sample": False, "eos_token_id": [end, pad], "pad_token_id": pad})
    words.save(tokenizer, folder, shape.context)


def card(folder: Path, parameters: int, log: dict[str, Any], table: str) -> None:
    curve = log["curve"]
    picked = curve[:: max(1, len(curve) // 12)] + curve[-1:]
    before = log.get("before")
    began = (
        f" It went on from a first run: seed {before['seed']}, {before['tokens'] / 1e6:.0f} million tokens, "
        f"{before['minutes']} minutes."
        if before
        else ""
    )
    read = (
        " What the first run got wrong\nwas read before the second, and the generator widened for it: "
        "to those who wrote the recipe the cases are not new."
        if before
        else ""
    )
    losses = "\n".join(f"| {point['seconds']:.0f} | {point['step']} | {point['loss']:.4f} |" for point in picked)
    (folder / "README.md").write_text(
        f"""---
license: mit
library_name: transformers
pipeline_tag: text-generation
language: en
---

# starter

A language model that comes with mlx-serve: a few million parameters ({parameters / 1e6:.1f}), trained on synthetic text, for
trying and testing.

It was trained from nothing, on synthetic text alone, in a few minutes on one GPU. It answers questions about mlx-serve,
transforms text that it is given, does small sums, remembers what was said, follows simple system prompts, extracts fields
into JSON, calls tools and thinks briefly when asked to. It knows nothing else of the world, it makes mistakes, and it reads
English only. Use a real model for real work.

- Architecture: Qwen3; own byte-level BPE of 4,096 entries (a space is a token of its own); Qwen3's chat format; up to 8,192 tokens of context.
- Recipe: `packaging/starter/llm` of mlx-serve's repository. No outside text and no outside weights went in.
- Run: seed {log["seed"]}, {log["tokens"] / 1e6:.0f} million tokens in {log["steps"]} steps, {log["minutes"]} minutes on {log["device"]},
  {", ".join(f"{name} {version}" for name, version in log["versions"].items())}.{began}

## Evaluation

Greedy answers to wordings, names, numbers and tools that training never sees.{read}

{table}

## Loss

| seconds | step | loss on assistant tokens |
| --- | --- | --- |
{losses}
"""
    )
