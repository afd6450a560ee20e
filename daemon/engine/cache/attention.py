"""Attention that takes `Ragged` in place of a mask, where a device has a better way for rows of different lengths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import KVCache

from ..device import backend
from .cuda_attention import CudaAttention
from .wide_heads import WIDTH, WideAttention


def install() -> None:
    """Make `Ragged` masks work in this process, on NVIDIA GPUs and on Metal."""
    if installed():
        return
    plain = mx.fast.scaled_dot_product_attention
    match backend():
        case "cuda":
            mx.fast.scaled_dot_product_attention = CudaAttention(plain)
        case "metal":
            mx.fast.scaled_dot_product_attention = WideAttention(plain)


def plans(chunk: int, longest: int, memory: int | None) -> Iterator[None]:
    """What attention of this process takes time for that it has, one plan a step: as `CudaAttention.plans`, and nothing
    elsewhere."""
    attention = mx.fast.scaled_dot_product_attention
    if isinstance(attention, CudaAttention):
        yield from attention.plans(chunk, longest, memory)


def forget() -> None:
    """What attention of this process has seen was of no model that will be used."""
    attention = mx.fast.scaled_dot_product_attention
    if isinstance(attention, CudaAttention):
        attention.forget()


def installed() -> bool:
    return isinstance(mx.fast.scaled_dot_product_attention, CudaAttention | WideAttention)


def skips_padding() -> bool:
    """Whether what is read of a row is as long as the row, whatever its heads are."""
    return isinstance(mx.fast.scaled_dot_product_attention, CudaAttention)


def pageable(caches: list[Any]) -> bool:
    """Whether rows may have pages of their own, by plain caches that hold a token: every layer keeps every token, and
    has heads that the kernel knows."""
    attention = mx.fast.scaled_dot_product_attention
    if not isinstance(attention, CudaAttention) or any(type(cache) is not KVCache for cache in caches):
        return False
    return all(attention.reads_pages(cache.keys, cache.values) for cache in caches)


def reads_beginnings(tokens: int) -> bool:
    """Whether prompts may go on from `Beginnings` of so many tokens, where rows may have pages of their own."""
    attention = mx.fast.scaled_dot_product_attention
    return isinstance(attention, CudaAttention) and attention.reads_beginnings(tokens)


def pays(caches: list[Any]) -> bool:
    """Whether a model profits, by plain caches that hold a token: on Metal one with heads of 512 only."""
    if not installed() or skips_padding():
        return installed()
    arrays = (getattr(cache, "keys", None) for cache in caches)
    return any(array is not None and array.shape[-1] == WIDTH for array in arrays)
