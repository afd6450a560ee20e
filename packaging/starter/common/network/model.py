"""Qwen3 in plain PyTorch, with the parameter names of Transformers; what stands in one row, attention keeps apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Attention


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    hidden: int = 256
    layers: int = 10
    heads: int = 8
    kv_heads: int = 2
    head: int = 64
    intermediate: int = 512
    theta: float = 100_000.0
    context: int = 8192
    eps: float = 1e-6


TINY = {"hidden": 64, "layers": 2, "heads": 2, "kv_heads": 1, "intermediate": 128}  # learns nothing, runs on a CPU


class Norm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        scaled = x.float()
        scaled = scaled * torch.rsqrt(scaled.square().mean(-1, keepdim=True) + self.eps)
        return (scaled * self.weight).to(x.dtype)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, -1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), -1).to(x.dtype)


def module_of(**parts: nn.Module) -> nn.Module:
    """A module that holds others by name and computes nothing."""
    module = nn.Module()
    for name, part in parts.items():
        module.add_module(name, part)
    return module


def _linear(wide: int, high: int) -> nn.Linear:
    return nn.Linear(wide, high, bias=False)


class Layer(nn.Module):
    """Cut at the attention, so that what stands before and after compiles on its own."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.self_attn = module_of(
            q_proj=_linear(shape.hidden, shape.heads * shape.head),
            k_proj=_linear(shape.hidden, shape.kv_heads * shape.head),
            v_proj=_linear(shape.hidden, shape.kv_heads * shape.head),
            o_proj=_linear(shape.heads * shape.head, shape.hidden),
            q_norm=Norm(shape.head, shape.eps),
            k_norm=Norm(shape.head, shape.eps),
        )
        self.mlp = module_of(
            gate_proj=_linear(shape.hidden, shape.intermediate),
            up_proj=_linear(shape.hidden, shape.intermediate),
            down_proj=_linear(shape.intermediate, shape.hidden),
        )
        self.input_layernorm = Norm(shape.hidden, shape.eps)
        self.post_attention_layernorm = Norm(shape.hidden, shape.eps)


def before(layer: Layer, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    attention, shape = layer.self_attn, layer.shape
    h = layer.input_layernorm(x)
    q = attention.q_norm(attention.q_proj(h).unflatten(-1, (shape.heads, shape.head)))
    k = attention.k_norm(attention.k_proj(h).unflatten(-1, (shape.kv_heads, shape.head)))
    v = attention.v_proj(h).unflatten(-1, (shape.kv_heads, shape.head))
    q, k = turned(q, cos, sin), turned(k, cos, sin)
    groups = shape.heads // shape.kv_heads
    return q, k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)


def after(layer: Layer, x: Tensor, mixed: Tensor) -> Tensor:
    x = x + layer.self_attn.o_proj(mixed.flatten(-2))
    h = layer.post_attention_layernorm(x)
    return x + layer.mlp.down_proj(F.silu(layer.mlp.gate_proj(h)) * layer.mlp.up_proj(h))


def body(shape: Shape) -> nn.Module:
    return module_of(
        embed_tokens=nn.Embedding(shape.vocabulary, shape.hidden),
        layers=nn.ModuleList(Layer(shape) for _ in range(shape.layers)),
        norm=Norm(shape.hidden, shape.eps),
    )


class Starter(nn.Module):
    """Input and output embeddings are one matrix."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = body(shape)
        self.uncompile()
        frequencies = 1.0 / shape.theta ** (torch.arange(0, shape.head, 2, dtype=torch.float64) / shape.head)
        angles = torch.outer(torch.arange(shape.context, dtype=torch.float64), frequencies)
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * shape.layers))

    def hidden(self, ids: Tensor, positions: Tensor, attention: Attention, dtype: torch.dtype) -> Tensor:
        """`ids` and `positions` are flat: all rows of a batch behind each other."""
        x = self.model.embed_tokens(ids).to(dtype)
        cos, sin = self.cos[positions].unsqueeze(1), self.sin[positions].unsqueeze(1)
        for layer in self.model.layers:
            q, k, v = self.before(layer, x, cos, sin)
            x = self.after(layer, x, attention(q, k, v))
        return self.model.norm(x)

    def compile(self) -> None:  # type: ignore[override]
        self.before, self.after = torch.compile(before), torch.compile(after)

    def uncompile(self) -> None:
        self.before, self.after = before, after

    @property
    def embeddings(self) -> Tensor:
        return self.model.embed_tokens.weight
