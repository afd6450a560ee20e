"""A batch on the device: its pictures drawn, and all that the model needs beside the tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..llm.model import Attention
from . import atlas
from .batches import Batch
from .model import Read, Seen
from .patches import MERGE, table

RUN = 256  # patches that are nobody's stand in runs of so many
Drawer = Callable[..., Tensor]


def put(values: Any, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


class Studio:
    """Draws batches: it holds the forms of things and the places of patches, and how attention is computed."""

    def __init__(
        self,
        textures: Tensor,
        side: int,
        patches: int,
        attention: Callable[..., Attention],
        drawer: Drawer = atlas.draw,
    ) -> None:
        self.textures, self.patches, self.attention, self.drawer = textures, patches, attention, drawer
        device = textures.device
        known = table(side)
        self._start = known.start
        self._row, self._column = put(known.places.row, device), put(known.places.column, device)
        self._mix = put(known.places.mix, device).to(torch.bfloat16 if device.type == "cuda" else torch.float32)

    @torch.no_grad()
    def seen(self, batch: Batch) -> Seen:
        device, shown = self.textures.device, batch.pictures
        grids = batch.grids[:shown]
        lengths = grids.prod(1)
        rest = self.patches - int(lengths.sum())
        runs = [RUN] * (rest // RUN) + ([rest % RUN] if rest % RUN else [])
        ends = np.concatenate(([0], np.cumsum([*lengths, *runs]))).astype(np.int32)
        # A last picture, which shows nothing, takes what is left over.
        begins = np.concatenate((ends[:shown], [self.patches - rest]))
        start = np.concatenate((self._start[grids[:, 0] // MERGE, grids[:, 1] // MERGE], [0]))
        counts = put(np.concatenate((lengths, [rest])).astype(np.int64), device)
        picture = torch.repeat_interleave(torch.arange(shown + 1, device=device), counts, output_size=self.patches)
        place = torch.arange(self.patches, device=device) + put(start - begins, device)[picture]
        place = place.clamp_max(len(self._row) - 1)
        row, column = self._row[place], self._column[place]
        whole, rows = put(batch.whole[: shown + 1], device), put(batch.rows[: shown + 1], device)
        things = atlas.nearest(whole, rows, picture, row, column)
        pixels = self.drawer(self.textures, whole[picture], things, row, column)
        longest = int(np.diff(ends).max())
        return Seen(pixels, row, column, self._mix[place], self.attention(put(ends, device), longest, False))


class Placed:
    def __init__(self, batch: Batch, studio: Studio) -> None:
        device = studio.textures.device
        self.pictures = batch.pictures
        self.seen = studio.seen(batch)
        longest = int(np.diff(batch.bounds).max())
        # Where pictures stand any token will do: many different ones, since gradients that meet in one are slow.
        ids = batch.ids.astype(np.int64)
        self.ids = put(ids, device)
        slots = batch.slots[batch.slots < len(ids)]
        ids = ids.copy()
        ids[slots] = slots % 997
        attention = studio.attention(put(batch.bounds, device), longest, True)
        self.read = Read(put(ids, device), put(batch.position, device), put(batch.slots, device), attention)
        # Targets in a fixed number, so that the compiled loss serves every batch.
        targets = np.flatnonzero(batch.weights)
        room = len(ids) // 3
        size = min(room, len(targets))
        others = np.flatnonzero(batch.weights[1:] == 0)[: room - size] + 1
        chosen = np.concatenate([targets[:size], others])
        self.chosen = put(chosen, device)
        self.weights = put(batch.weights[chosen].astype(np.float32), device)
