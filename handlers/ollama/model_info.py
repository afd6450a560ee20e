"""Ollama's `model_info`: facts of a model under the keys of GGUF's metadata, made from config.json and the tokenizer.

The keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. `<architecture>` is the model_type of config.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    from ...store.store import Installed

MAX_CONFIG = 4 << 20
MAX_TOKENIZER = 128 << 20
_NESTED = ("text_config", "llm_config", "language_config")
_FILE_TYPES = {"float32": 0, "float16": 1, "bfloat16": 32}  # llama.cpp's LLAMA_FTYPE of what is not quantized
_TOKENIZERS = {"BPE": "gpt2", "WordPiece": "bert", "Unigram": "t5", "WordLevel": "bert"}
Row: TypeAlias = tuple[str, tuple[str, ...]]

_WHOLE: tuple[Row, ...] = (
    ("block_count", ("num_hidden_layers", "n_layer", "n_layers", "num_layers")),
    ("feed_forward_length", ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "hidden_dim")),
    ("attention.head_count", ("num_attention_heads", "n_head", "n_heads")),
    ("attention.head_count_kv", ("num_key_value_heads", "num_kv_heads", "n_head_kv")),
    ("attention.sliding_window", ("sliding_window",)),
    ("attention.q_lora_rank", ("q_lora_rank",)),
    ("attention.kv_lora_rank", ("kv_lora_rank",)),
    ("vocab_size", ("vocab_size",)),
    ("expert_count", ("num_experts", "num_local_experts", "n_routed_experts")),
    ("expert_used_count", ("num_experts_per_tok", "num_experts_per_token", "top_k_experts")),
    ("expert_shared_count", ("n_shared_experts", "num_shared_experts")),
    ("expert_feed_forward_length", ("moe_intermediate_size",)),
)
_FRACTIONS: tuple[Row, ...] = (
    ("rope.freq_base", ("rope_theta", "rotary_emb_base")),
    ("attention.layer_norm_rms_epsilon", ("rms_norm_eps",)),
    ("attention.layer_norm_epsilon", ("layer_norm_eps", "layer_norm_epsilon")),
)
_VISION: tuple[Row, ...] = (
    ("vision.block_count", ("num_hidden_layers", "depth", "num_layers")),
    ("vision.embedding_length", ("hidden_size", "embed_dim")),
    ("vision.feed_forward_length", ("intermediate_size",)),
    ("vision.attention.head_count", ("num_attention_heads", "num_heads")),
    ("vision.image_size", ("image_size",)),
    ("vision.patch_size", ("patch_size",)),
    ("vision.num_channels", ("num_channels", "in_channels")),
)
_TOKEN_IDS: tuple[Row, ...] = (
    ("tokenizer.ggml.bos_token_id", ("bos_token_id",)),
    ("tokenizer.ggml.eos_token_id", ("eos_token_id",)),
    ("tokenizer.ggml.padding_token_id", ("pad_token_id",)),
)


class _AddedToken(msgspec.Struct):
    id: int
    content: str
    special: bool = False


class _Vocabulary(msgspec.Struct):
    type: str | None = None
    vocab: dict[str, int] | list[tuple[str, float]] | None = None
    merges: list[str | tuple[str, str]] | None = None


class _Tokenizer(msgspec.Struct):
    model: _Vocabulary = msgspec.field(default_factory=_Vocabulary)
    added_tokens: list[_AddedToken] = []


class _TokenizerKind(msgspec.Struct):
    model: _Kind


class _Kind(msgspec.Struct):
    type: str | None = None


_tokenizers = msgspec.json.Decoder(_Tokenizer)
_kinds = msgspec.json.Decoder(_TokenizerKind)


def model_info(model: Installed, folder: Path, *, verbose: bool = False) -> dict[str, Any]:
    """Reads files of `folder`, the model's: not for the event loop. `verbose`: with the whole vocabulary."""
    manifest = model.manifest
    family = manifest.architecture
    info: dict[str, Any] = {
        "general.architecture": family,
        "general.parameter_count": manifest.parameters,
    }
    if manifest.quantization:
        info["general.quantization_bits"] = manifest.quantization.bits
        info["general.quantization_group_size"] = manifest.quantization.group_size
    elif manifest.dtype in _FILE_TYPES:
        info["general.file_type"] = _FILE_TYPES[manifest.dtype]
    if manifest.context_length:
        info[f"{family}.context_length"] = manifest.context_length
    if manifest.embedding_length:
        info[f"{family}.embedding_length"] = manifest.embedding_length
    config = _json_object(folder / "config.json")
    info |= {f"{family}.{key}": value for key, value in architecture_facts(config).items()}
    return info | _tokenizer(folder, config, verbose=verbose)


def architecture_facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json says of the network, under GGUF's keys without their family."""
    text = next((nested for key in _NESTED if isinstance(nested := config.get(key), dict)), config)
    facts: dict[str, Any] = _rows(_WHOLE, text) | _rows(_FRACTIONS, text, fractions=True)
    if text.get("use_sliding_window") is False:
        facts.pop("attention.sliding_window", None)
    heads = facts.get("attention.head_count")
    if heads:
        facts.setdefault("attention.head_count_kv", heads)
        facts |= _head_sizes(text, heads)
    facts |= _rope(text, facts)
    if isinstance(vision := config.get("vision_config"), dict):
        facts |= _rows(_VISION, vision)
    return facts


def _head_sizes(text: Mapping[str, Any], heads: int) -> dict[str, int]:
    """Multi-head latent attention has keys of two parts, and values of another size."""
    nope, rope, value = (_whole(text.get(key)) for key in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
    if nope and rope and value:
        return {"attention.key_length": nope + rope, "attention.value_length": value}
    width = next((size for key in ("hidden_size", "n_embd", "d_model") if (size := _whole(text.get(key)))), None)
    size = _whole(text.get("head_dim")) or (width // heads if width else None)
    return {"attention.key_length": size, "attention.value_length": size} if size else {}


def _rope(text: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Transformers 5 writes `rope_parameters`, flat or one per layer type; before it was `rope_scaling`."""
    stated = text.get("rope_parameters")
    layers = [each for each in stated.values() if isinstance(each, dict)] if isinstance(stated, dict) else []
    flat = stated if isinstance(stated, dict) and not layers else (layers[0] if layers else {})
    scaling = text.get("rope_scaling")
    scaling = scaling if isinstance(scaling, dict) else flat
    found: dict[str, Any] = {}
    if "rope.freq_base" not in facts and (base := _fraction(flat.get("rope_theta"))) is not None:
        found["rope.freq_base"] = base
    if (size := _whole(text.get("qk_rope_head_dim"))) is not None:
        found["rope.dimension_count"] = size
    elif found or "rope.freq_base" in facts:
        share = _fraction(text.get("partial_rotary_factor", flat.get("partial_rotary_factor", 1.0)))
        if share and (length := facts.get("attention.key_length")):
            found["rope.dimension_count"] = int(length * share)
    kind = scaling.get("rope_type", scaling.get("type"))
    if isinstance(kind, str) and kind != "default":
        found["rope.scaling.type"] = kind
        if (factor := _fraction(scaling.get("factor"))) is not None:
            found["rope.scaling.factor"] = factor
        if (length := _whole(scaling.get("original_max_position_embeddings"))) is not None:
            found["rope.scaling.original_context_length"] = length
    return found


def _tokenizer(folder: Path, config: Mapping[str, Any], *, verbose: bool) -> dict[str, Any]:
    """The vocabulary's lists are null unless they are asked for: they have 100,000 entries."""
    path = folder / "tokenizer.json"
    ids = _rows(_TOKEN_IDS, {key: _first(value) for key, value in config.items()}, least=0)
    try:
        if not path.is_file() or path.stat().st_size > MAX_TOKENIZER:
            return ids
        data = path.read_bytes()
        if not verbose:
            kind = _kinds.decode(data).model.type
            lists: dict[str, Any] = dict.fromkeys(("tokens", "token_type", "merges"))
        else:
            decoded = _tokenizers.decode(data)
            kind = decoded.model.type
            lists = _vocabulary(decoded)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ids
    named = {"tokenizer.ggml.model": _TOKENIZERS[kind]} if kind in _TOKENIZERS else {}
    return named | ids | {f"tokenizer.ggml.{key}": value for key, value in lists.items()}


def _vocabulary(tokenizer: _Tokenizer) -> dict[str, Any]:
    vocab = tokenizer.model.vocab or {}
    pairs = vocab.items() if isinstance(vocab, dict) else ((entry[0], number) for number, entry in enumerate(vocab))
    tokens = {number: text for text, number in pairs}
    kinds = {token.id: 3 if token.special else 4 for token in tokenizer.added_tokens}  # GGUF: control, user defined
    tokens |= {token.id: token.content for token in tokenizer.added_tokens}
    order = sorted(tokens)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer.model.merges or []]
    return {
        "tokens": [tokens[number] for number in order],
        "token_type": [kinds.get(number, 1) for number in order],
        "merges": merges,
    }


def _rows(
    rows: tuple[Row, ...], place: Mapping[str, Any], *, fractions: bool = False, least: int = 1
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, keys in rows:
        for key in keys:
            value = _fraction(place.get(key)) if fractions else _whole(place.get(key), least)
            if value is not None:
                found[name] = value
                break
    return found


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _whole(value: Any, least: int = 1) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and least <= value < 1 << 40 else None


def _fraction(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


def _json_object(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_CONFIG:
            return {}
        found = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
