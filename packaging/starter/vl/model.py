"""Qwen3-VL in plain PyTorch, with the parameter names of Transformers; pictures and conversations are packed flat."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.network.attention import Attention
from ..common.network.model import TINY, after, before, body, module_of, turned
from ..common.network.model import Shape as Words
from .picture.patches import MERGE, PATCH


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    hidden: int = 192  # of the vision tower
    depth: int = 5
    heads: int = 6
    intermediate: int = 640
    side: int = 12  # of the square table of learnt positions
    deep: int = 2  # the block whose output also joins the language model's first layer
    text: Words = field(default_factory=lambda: Words(0))

    @property
    def sections(self) -> tuple[int, int, int]:
        """How many of a head's frequencies follow time, rows and columns; interleaved."""
        half = self.text.head // 2
        other = half // 3
        return half - 2 * other, other, other


def text_shape(vocabulary: int, tiny: bool = False) -> Words:
    sizes = TINY if tiny else {"hidden": 192, "layers": 4, "heads": 4, "kv_heads": 2, "intermediate": 512}
    return Words(vocabulary, theta=10_000.0, context=4096, **sizes)


class Projection(nn.Module):
    """The patch embedding; a still picture is its own second frame, so both halves of the kernel see the same."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, hidden, (2, PATCH, PATCH), (2, PATCH, PATCH))

    def forward(self, pixels: Tensor) -> Tensor:
        return F.linear(pixels.flatten(1), self.proj.weight.sum(2).flatten(1), self.proj.bias)


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        hidden = shape.hidden
        self.shape = shape
        self.norm1, self.norm2 = nn.LayerNorm(hidden, eps=1e-6), nn.LayerNorm(hidden, eps=1e-6)
        self.attn = module_of(qkv=nn.Linear(hidden, 3 * hidden), proj=nn.Linear(hidden, hidden))
        self.mlp = module_of(
            linear_fc1=nn.Linear(hidden, shape.intermediate), linear_fc2=nn.Linear(shape.intermediate, hidden)
        )


def block_before(block: Block, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = block.attn.qkv(block.norm1(x)).unflatten(-1, (3, block.shape.heads, -1)).unbind(1)
    return turned(q, cos, sin), turned(k, cos, sin), v


def block_after(block: Block, x: Tensor, mixed: Tensor) -> Tensor:
    x = x + block.attn.proj(mixed.flatten(-2))
    return x + block.mlp.linear_fc2(F.gelu(block.mlp.linear_fc1(block.norm2(x)), approximate="tanh"))


class Merger(nn.Module):
    """Four patches become one token of the language model."""

    def __init__(self, shape: Shape, joined: bool) -> None:
        super().__init__()
        self.wide = shape.hidden * MERGE**2
        self.joined = joined
        self.norm = nn.LayerNorm(self.wide if joined else shape.hidden, eps=1e-6)
        self.linear_fc1 = nn.Linear(self.wide, self.wide)
        self.linear_fc2 = nn.Linear(self.wide, shape.text.hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x.view(-1, self.wide)) if self.joined else self.norm(x).view(-1, self.wide)
        return self.linear_fc2(F.gelu(self.linear_fc1(x)))


def _vision(shape: Shape) -> nn.Module:
    return module_of(
        patch_embed=Projection(shape.hidden),
        pos_embed=nn.Embedding(shape.side**2, shape.hidden),
        blocks=nn.ModuleList(Block(shape) for _ in range(shape.depth)),
        merger=Merger(shape, False),
        deepstack_merger_list=nn.ModuleList([Merger(shape, True)]),
    )


@dataclass
class Seen:
    """Patches of all pictures behind each other: pixels [n, 3, 256], and where each stands."""

    pixels: Tensor
    row: Tensor
    column: Tensor
    mix: Tensor  # [n, positions]
    attention: Attention


@dataclass
class Read:
    """Tokens of all conversations behind each other. `position` [3, n]; `slots` say where merged patches go.

    What `ids` say at a slot does not matter.
    """

    ids: Tensor
    position: Tensor
    slots: Tensor  # one for each four patches; n itself is nowhere
    attention: Attention


class Starter(nn.Module):
    """Input and output embeddings are one matrix."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = module_of(visual=_vision(shape), language_model=body(shape.text))
        self.uncompile()
        head, words = shape.hidden // shape.heads, shape.text
        seen = 1.0 / 10_000.0 ** (torch.arange(0, head // 2, 2, dtype=torch.float32) / (head // 2))
        read = 1.0 / words.theta ** (torch.arange(0, words.head, 2, dtype=torch.float32) / words.head)
        axis = torch.zeros(words.head // 2, dtype=torch.long)
        for which in (1, 2):
            axis[which : shape.sections[which] * 3 : 3] = which
        self.register_buffer("seen_frequencies", seen, persistent=False)
        self.register_buffer("read_frequencies", read, persistent=False)
        self.register_buffer("axis", axis, persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            if "pos_embed" in name:
                nn.init.normal_(parameter, std=0.3)  # as loud as the patches, or places are learnt late
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * words.layers))
            if ".blocks." in name and name.endswith(("attn.proj.weight", "linear_fc2.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * shape.depth))

    def look(self, seen: Seen, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Tokens of the language model, and what joins them after its first layer; [n / 4, hidden] each."""
        visual = self.model.visual
        x = visual.patch_embed(seen.pixels).to(dtype)
        x = x + (seen.mix @ visual.pos_embed.weight.to(seen.mix.dtype)).to(dtype)
        angles = torch.cat(
            (seen.row[:, None] * self.seen_frequencies, seen.column[:, None] * self.seen_frequencies), -1
        ).unsqueeze(1)
        cos, sin = angles.cos(), angles.sin()
        deep = x
        for i, block in enumerate(visual.blocks):
            q, k, v = self.block_before(block, x, cos, sin)
            x = self.block_after(block, x, seen.attention(q, k, v))
            if i == self.shape.deep:
                deep = visual.deepstack_merger_list[0](x)
        return visual.merger(x), deep

    def hidden(self, read: Read, seen: Seen | None, dtype: torch.dtype) -> Tensor:
        language = self.model.language_model
        x = language.embed_tokens(read.ids).to(dtype)
        deep = None
        if seen is not None:
            tokens, deep = self.look(seen, dtype)
            x = torch.cat((x, x[:1])).index_copy(0, read.slots, tokens.to(dtype))[:-1]
        angles = (read.position.float()[self.axis].T * self.read_frequencies).unsqueeze(1)
        cos, sin = angles.cos(), angles.sin()
        for i, layer in enumerate(language.layers):
            q, k, v = self.before(layer, x, cos, sin)
            x = self.after(layer, x, read.attention(q, k, v))
            if not i and deep is not None:
                x = torch.cat((x, x[:1])).index_add(0, read.slots, deep.to(dtype))[:-1]
        return language.norm(x)

    def compile(self) -> None:  # type: ignore[override]
        self.before, self.after = torch.compile(before), torch.compile(after)
        self.block_before, self.block_after = torch.compile(block_before), torch.compile(block_after)

    def uncompile(self) -> None:
        self.before, self.after, self.block_before, self.block_after = before, after, block_before, block_after

    @property
    def embeddings(self) -> Tensor:
        return self.model.language_model.embed_tokens.weight
