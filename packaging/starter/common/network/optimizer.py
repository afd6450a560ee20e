"""Muon for the matrices (all of one shape at once), AdamW for the rest."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_A, _B, _C = (3.4445, -4.7750, 2.0315)  # Keller Jordan's quintic; https://kellerjordan.github.io/posts/muon/


def _orthogonal(stack: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz on a stack of matrices: the singular values go to about one."""
    tall = stack.shape[-2] > stack.shape[-1]
    x = stack.mT if tall else stack
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    return x.mT if tall else x


class Optimizer:
    def __init__(self, model: nn.Module, matrix_rate: float, other_rate: float, decay: float = 0.05) -> None:
        self.matrix_rate, self.other_rate, self.decay = matrix_rate, other_rate, decay
        others: list[Tensor] = []
        by_shape: dict[tuple[int, ...], list[Tensor]] = {}
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "embed" not in name:
                by_shape.setdefault(tuple(parameter.shape), []).append(parameter)
            else:
                others.append(parameter)
        self._stacks = [
            (group, torch.zeros(len(group), *shape, device=group[0].device)) for shape, group in by_shape.items()
        ]
        self._adam = torch.optim.AdamW(others, lr=other_rate, betas=(0.9, 0.98), eps=1e-10, weight_decay=0.0)
        self.parameters = [parameter for group, _ in self._stacks for parameter in group] + others

    @torch.no_grad()
    def step(self, share: float) -> None:
        """`share` is the schedule's part of the rates, 0 to 1."""
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
        for group in self._adam.param_groups:
            group["lr"] = self.other_rate * share
        self._adam.step()
        rate = self.matrix_rate * share
        for group, momentum in self._stacks:
            gradient = torch.stack([parameter.grad for parameter in group])
            momentum.lerp_(gradient, 0.05)
            update = gradient.lerp(momentum, 0.95)
            if update.is_cuda:
                update = update.bfloat16()
            update = _orthogonal(update).float() * (0.2 * max(update.shape[-2:]) ** 0.5)
            torch._foreach_mul_(group, 1 - rate * self.decay)
            torch._foreach_add_(group, list(update.unbind(0)), alpha=-rate)
        self.clear()

    def clear(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None
