"""Attention over runs of different lengths that stand behind each other in one flat row."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..llm.model import Attention


def flash(bounds: Tensor, longest: int, causal: bool) -> Attention:
    """Runs of different lengths in one flat row; `bounds` (int32) are where each begins, and the end."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.ops.aten._flash_attention_forward(
            q, k, v.contiguous(), bounds, bounds, longest, longest, 0.0, causal, False
        )[0]

    return attend


def padded(bounds: Tensor, longest: int, causal: bool) -> Attention:
    """The same by padding every run to the longest: slower, runs anywhere."""
    starts, lengths = bounds[:-1].long(), bounds.diff().long()
    steps = torch.arange(longest, device=bounds.device)
    real = steps < lengths[:, None]
    at = (starts[:, None] + steps).clamp_max(int(bounds[-1]) - 1)
    mask = real[:, None, None, :]
    if causal:
        mask = mask & (steps[:, None] >= steps)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x[at].transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)[real]

    return attend


def disagreement(device: torch.device) -> float:
    """The largest relative difference between the two, forwards and backwards, in both towers' shapes."""
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
