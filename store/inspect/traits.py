"""Numbers about a model: parameters, dtype, context and embedding length, quantization; from configs and headers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..disk.manifests import Kind, Quantization
from .configs import ModelFiles
from .weights import Tensor

_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length", "n_ctx")
_WIDTH = ("hidden_size", "n_embd", "d_model", "dim", "model_dim")
_NESTED = ("text_config", "llm_config", "language_config", "thinker_config")
_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}
_ROBERTA = ("roberta", "xlm-roberta", "xlm_roberta", "camembert")
# Tensors of a quantized layer beside its packed weight; they are not counted as parameters.
_BESIDE = (".scales", ".biases", ".qzeros", ".g_idx", ".weight_scale", ".weight_scale_inv", ".weight_scale_2",
           ".weight_global_scale", ".weight_zero_point", ".weight_shape", ".input_scale", ".weight_g_idx")  # fmt: skip


@dataclass(frozen=True)
class Traits:
    """`context_length` in tokens, `embedding_length` the width of a vector; None where the files do not say."""

    parameters: int
    context_length: int | None
    embedding_length: int | None
    quantization: Quantization | None
    dtype: str | None


def read_traits(kind: Kind, files: ModelFiles, tensors: Mapping[str, Tensor]) -> Traits:
    config = files.object("config.json")
    return Traits(
        parameters=count_parameters(tensors, config),
        context_length=_context(kind, files, config),
        embedding_length=_embedding_length(kind, files, config),
        quantization=quantization(config),
        dtype=_dtype(tensors, config),
    )


def quantization(config: Mapping[str, Any]) -> Quantization | None:
    """From MLX's `quantization`, else from Transformers' `quantization_config`."""
    own = config.get("quantization")
    if isinstance(own, dict) and (bits := _number(own, "bits")) is not None:
        mode = own.get("mode")
        return Quantization(
            bits=bits, group_size=_number(own, "group_size") or 64, mode=mode if isinstance(mode, str) else "affine"
        )
    theirs = config.get("quantization_config")
    if not isinstance(theirs, dict):
        return None
    method = str(theirs.get("quant_method") or "affine")
    nested = theirs.get("config_groups")
    group = next(iter(nested.values()), None) if isinstance(nested, dict) else None
    scheme = group.get("weights") if isinstance(group, dict) else None
    places: tuple[Mapping[str, Any], ...] = (theirs, scheme) if isinstance(scheme, dict) else (theirs,)
    bits = next((n for place in places for key in ("bits", "w_bit", "num_bits") if (n := _number(place, key))), None)
    size = next((n for place in places for key in ("group_size", "q_group_size") if (n := _number(place, key))), None)
    if bits is None:
        bits = 8 if "8" in method else 4
    return Quantization(bits=bits, group_size=size or 32, mode=method)


def count_parameters(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> int:
    """Trained weights: a packed weight counts unpacked, scales and zero points do not count."""
    settings = config.get("quantization")
    layers: Mapping[str, Any] = settings if isinstance(settings, dict) else {}
    found = quantization(config)
    total = 0
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        if part == "weight" and tensor.dtype == "U32" and (scales := tensors.get(f"{layer}.scales")) is not None:
            total += scales.elements * _group_size(layers, layer, tensor, scales)
        elif part in ("qweight", "weight_packed") and found is not None:
            total += tensor.elements * (8 if tensor.dtype in ("U8", "I8") else 32) // found.bits
        elif name.endswith("_blocks") and f"{name[: -len('_blocks')]}_scales" in tensors:
            total += tensor.elements * 2  # gpt-oss: two 4-bit values a byte
        elif not _is_beside(name, tensors):
            total += tensor.elements
    return total


def _group_size(layers: Mapping[str, Any], layer: str, packed: Tensor, scales: Tensor) -> int:
    own = layers.get(layer)
    for place in (own, layers):
        if isinstance(place, dict) and (size := _number(place, "group_size")) is not None:
            return size
    # Without settings, the group size that fits the shapes with a whole number of bits.
    for size in (64, 32, 128, 16):
        width = (scales.shape[-1] if scales.shape else 0) * size
        if width and packed.shape[-1] * 32 % width == 0 and packed.shape[-1] * 32 // width in (2, 3, 4, 5, 6, 8):
            return size
    return 64


def _is_beside(name: str, tensors: Mapping[str, Tensor]) -> bool:
    if name.endswith("_scales") and f"{name[: -len('_scales')]}_blocks" in tensors:
        return True
    for ending in _BESIDE:
        if name.endswith(ending):
            layer = name[: -len(ending)]
            return any(f"{layer}.{part}" in tensors for part in ("weight", "qweight", "weight_packed"))
    return False


def _context(kind: Kind, files: ModelFiles, config: Mapping[str, Any]) -> int | None:
    length = _look_up(config, _CONTEXT)
    if length is not None and config.get("model_type") in _ROBERTA:
        length -= 2  # positions begin after the padding index
    if kind in ("embedding", "reranker"):
        limit = _number(files.object("sentence_bert_config.json"), "max_seq_length")
        if limit is not None:
            return min(limit, length) if length is not None else limit
    return length


def _embedding_length(kind: Kind, files: ModelFiles, config: Mapping[str, Any]) -> int | None:
    if kind == "embedding":
        dense = sorted(path for path in files.locations if path.endswith("_Dense/config.json"))
        if dense and (width := _number(files.object(dense[-1]), "out_features")) is not None:
            return width
    return _look_up(config, _WIDTH)


def _look_up(config: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    places = [nested for key in _NESTED if isinstance(nested := config.get(key), dict)] + [config]
    return next((number for place in places for key in keys if (number := _number(place, key)) is not None), None)


def _dtype(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> str | None:
    sizes: Counter[str] = Counter()
    for tensor in tensors.values():
        if tensor.dtype in _DTYPES:
            sizes[_DTYPES[tensor.dtype]] += tensor.elements
    if sizes:
        return sizes.most_common(1)[0][0]
    stated = config.get("dtype") or config.get("torch_dtype")
    return stated if isinstance(stated, str) else None


def _number(place: Mapping[str, Any], key: str) -> int | None:
    value = place.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value < 1 << 40 else None
