"""Repositories of models that look right to the last header and were never trained, of any size."""

from __future__ import annotations

import json
import random
from typing import Any

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 1,
    "max_position_embeddings": 128,
    "vocab_size": 512,
}
README = "# A model\n\nThis one is for tests.\n"


def weights(size: int, seed: int = 0, tensor: str = "model.embed_tokens.weight") -> bytes:
    """A safetensors file of about `size` bytes of noise."""
    rows = max(1, size // 128)
    header = json.dumps({tensor: {"dtype": "F16", "shape": [rows, 64], "data_offsets": [0, rows * 128]}}).encode()
    return len(header).to_bytes(8, "little") + header + random.Random(seed).randbytes(rows * 128)


def checkpoint(*shards: int, seed: int = 0, **config: Any) -> dict[str, bytes]:
    """Path -> content: one file of weights for each size, with an index when there are several, and what goes along.

    Two of different seeds share all but the weights.
    """
    files = {
        ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
        "README.md": README.encode(),
        "config.json": json.dumps(CONFIG | config).encode(),
        "generation_config.json": b'{"temperature": 0.6}',
        "tokenizer.json": json.dumps({"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}).encode(),
        "tokenizer_config.json": b'{"tokenizer_class": "PreTrainedTokenizerFast"}',
    }
    if len(shards) == 1:
        return files | {"model.safetensors": weights(shards[0], seed)}
    places = {
        f"model.layers.{at}.weight": f"model-{at + 1:05}-of-{len(shards):05}.safetensors" for at in range(len(shards))
    }
    for at, (tensor, path) in enumerate(places.items()):
        files[path] = weights(shards[at], seed * 1000 + at, tensor)
    index = {"metadata": {"total_size": sum(shards)}, "weight_map": places}
    return files | {"model.safetensors.index.json": json.dumps(index).encode()}
