"""A batch on the device, with what the model needs beside the tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .attention import Attend


def put(values: Any, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def targets(weights: NDArray[np.float16], room: int) -> NDArray[np.int64]:
    """Tokens to predict, in a fixed number, so that the compiled loss serves every batch.

    Filled up with tokens of no weight, each once: gradients that meet in one place are slow.
    """
    wanted = np.flatnonzero(weights)[:room]
    return np.concatenate([wanted, np.flatnonzero(weights[1:] == 0)[: room - len(wanted)] + 1])


class Placed:
    """Texts behind each other in one flat row, cut by `bounds`."""

    def __init__(self, ids: NDArray[Any], bounds: NDArray[np.int32], device: torch.device, attend: Attend) -> None:
        lengths = np.diff(bounds)
        self.ids = put(ids.astype(np.int64), device)
        self.positions = put(np.arange(len(ids)) - np.repeat(bounds[:-1], lengths), device)
        self.attention = attend(put(bounds, device), int(lengths.max()))
