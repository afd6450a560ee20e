"""How large a picture may be for a tower that takes pictures of any size: plain arithmetic, no tensors.

MLX's CPU backend holds every score of an attention layer at once, patches times patches for each head, so that the
16 megapixels which some makers allow would take a hundred gigabytes there. On GPUs attention is fused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST_SCORES = 1 << 30
"""Bytes of one layer's scores, in float32."""


def size_within(name: str, size: Mapping[str, Any], patch: int, heads: int) -> dict[str, int]:
    """What replaces an image processor's `size` where that allows more than the scores may take; empty where not.

    `name`: the family. Qwen's sizes are pixels in all, Pixtral's are pixels along a side.
    """
    longest = size.get("longest_edge")
    if name not in ("qwen", "pixtral") or not longest:
        return {}
    patches = int((MOST_SCORES / (4 * heads)) ** 0.5)
    most = patches * patch**2 if name == "qwen" else int(patches**0.5) * patch
    if longest <= most:
        return {}
    return {key: min(int(value), most) for key, value in size.items() if value is not None}
