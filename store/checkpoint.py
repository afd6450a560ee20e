"""Writes the smallest real Qwen3 checkpoint, with random weights, without numpy: the same bytes on every machine."""

from __future__ import annotations

import json
import math
import random
import sys
from array import array
from pathlib import Path
from typing import Any

from .vocabulary import Vocabulary, learn

_SHAPE = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 512,
    "max_position_embeddings": 2048,
}
_SEED = 20
_SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
_HIDDEN = 3
_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
_CARD = """\
# starter (random weights)

This checkpoint was written on this machine, from a fixed seed. Its weights are random: whatever it answers is noise.
It only proves that the machinery works, from the store and the chat template to the last streamed token. Pull a
trained model to get an answer that means something.

The shape is Qwen3's: two layers of width 64, four query heads over two key and value heads of width 16, a vocabulary
of 512 entries that was learned from this very text. Everything around the weights is real: a byte-level tokenizer that
can spell every text in every language, special tokens for the turns of a conversation, a chat template, a generation
config and one file of tensors in safetensors format, which loads like the files of a model a thousand times as large.
A model server reads the configuration, maps the weights into memory, renders the messages of the user and of the
assistant into one prompt, and then generates one token after the other until the model says that the turn has ended
or the limit is reached. Several requests share each step of the computation, and a request that is cancelled leaves
the batch at once. When the model has not been used for a while its memory is given back to the machine.
"""
LICENSE = "The random weights in this folder are in the public domain (CC0 1.0).\n"


def write_checkpoint(folder: Path) -> None:
    """Fill an existing, empty folder with a complete model in Hugging Face layout (about 0.5 MB)."""
    vocabulary = learn(_CARD, _SHAPE["vocab_size"], _SPECIALS, _HIDDEN)
    ends = [vocabulary.id_of("<|im_end|>"), vocabulary.id_of("<|endoftext|>")]
    documents = {
        "config.json": _config(ends),
        "generation_config.json": {"eos_token_id": ends, "do_sample": True, "temperature": 0.7, "top_p": 0.95},
        "tokenizer.json": vocabulary.tokenizer_json(),
        "tokenizer_config.json": _tokenizer_config(vocabulary),
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_CARD, encoding="utf-8")
    (folder / "LICENSE").write_text(LICENSE, encoding="utf-8")
    (folder / "model.safetensors").write_bytes(_weights())


def _config(ends: list[int]) -> dict[str, Any]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        **_SHAPE,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "hidden_act": "silu",
        "eos_token_id": ends[0],
        "torch_dtype": "float32",
    }


def _tokenizer_config(vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "chat_template": _TEMPLATE,
        "model_max_length": _SHAPE["max_position_embeddings"],
        "clean_up_tokenization_spaces": False,
    }


def _weights() -> bytes:
    """All tensors, float32, in the order of their names."""
    generator = random.Random(_SEED)
    header: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
    data = bytearray()
    for name, shape in sorted(_shapes().items()):
        count = math.prod(shape)
        # Norms start at one; the rest is uniform with the variance that keeps activations in range.
        reach = math.sqrt(3 / shape[-1])
        values = (
            (1.0 for _ in range(count))
            if len(shape) == 1
            else (reach * (2 * generator.random() - 1) for _ in range(count))
        )
        numbers = array("f", values)
        if sys.byteorder == "big":
            numbers.byteswap()
        begin = len(data)
        data += numbers.tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + bytes(data)


def _shapes() -> dict[str, list[int]]:
    width, inner, head = _SHAPE["hidden_size"], _SHAPE["intermediate_size"], _SHAPE["head_dim"]
    queries, keys = _SHAPE["num_attention_heads"] * head, _SHAPE["num_key_value_heads"] * head
    shapes = {"model.embed_tokens.weight": [_SHAPE["vocab_size"], width], "model.norm.weight": [width]}
    for layer in range(_SHAPE["num_hidden_layers"]):
        parts = {
            "input_layernorm": [width],
            "post_attention_layernorm": [width],
            "self_attn.q_proj": [queries, width],
            "self_attn.k_proj": [keys, width],
            "self_attn.v_proj": [keys, width],
            "self_attn.o_proj": [width, queries],
            "self_attn.q_norm": [head],
            "self_attn.k_norm": [head],
            "mlp.gate_proj": [inner, width],
            "mlp.up_proj": [inner, width],
            "mlp.down_proj": [width, inner],
        }
        shapes |= {f"model.layers.{layer}.{part}.weight": shape for part, shape in parts.items()}
    return shapes
