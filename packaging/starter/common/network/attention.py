"""Attention over texts or pictures of different lengths that stand behind each other in one flat row."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]  # (tokens, heads, head) each -> (tokens, heads, head)
Attend = Callable[..., Attention]  # from bounds, the longest length, and whether what comes later is hidden


def flash(bounds: Tensor, longest: int, causal: bool = True) -> Attention:
    """`bounds` (int32) are where each text or picture begins, and the end."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.ops.aten._flash_attention_forward(
            q, k, v.contiguous(), bounds, bounds, longest, longest, 0.0, causal, False
        )[0]

    return attend


def padded(bounds: Tensor, longest: int, causal: bool = True) -> Attention:
    """The same by padding each to the longest: slower, runs anywhere."""
    starts, lengths = bounds[:-1].long(), bounds.diff().long()
    count = len(lengths)
    row = torch.repeat_interleave(torch.arange(count, device=bounds.device), lengths)
    place = torch.arange(len(row), device=bounds.device) - starts[row]
    # What is hidden from the past needs no mask: the padding stands behind.
    real = None if causal else (torch.arange(longest, device=bounds.device) < lengths[:, None])[:, None, None, :]

    def spread(x: Tensor) -> Tensor:
        return x.new_zeros(count, longest, *x.shape[1:]).index_put((row, place), x).transpose(1, 2)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mixed = F.scaled_dot_product_attention(spread(q), spread(k), spread(v), attn_mask=real, is_causal=causal)
        return mixed.transpose(1, 2)[row, place]

    return attend


def _disagreement(device: torch.device) -> float:
    """The largest relative difference between the two, forwards and backwards, for pictures and for texts."""
    bounds = torch.tensor([0, 100, 300, 512, 700, 900], dtype=torch.int32, device=device)
    largest = 0.0
    for causal, head in ((False, 32), (True, 64)):
        found = []
        for attention in (flash(bounds, 212, causal), padded(bounds, 212, causal)):
            torch.manual_seed(1)
            q, k, v = (torch.randn(900, 4, head, device=device).bfloat16().requires_grad_() for _ in range(3))
            out = attention(q, k, v)
            (out.float() * torch.arange(head, device=device)).sum().backward()
            found.append([out, q.grad, k.grad, v.grad])
        for fast, plain in zip(*found, strict=True):
            apart = (fast.detach().float() - plain.detach().float()).norm() / plain.detach().float().norm()
            largest = max(largest, float(apart))
    return largest


def fastest(device: torch.device, say: Callable[[str], None]) -> Attend:
    """The fast one where it runs and gives what the plain one gives."""
    if device.type != "cuda":
        return padded
    try:
        difference = _disagreement(device)
    except Exception:
        say("flash attention failed: padded attention instead\n" + traceback.format_exc(limit=3))
        return padded
    if not difference < 0.03:
        say(f"flash attention differs by {difference:.3f}: padded attention instead")
        return padded
    return flash
