"""Draws the pictures of a batch on the device: what the vision tower sees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ...common.network.attention import Attend
from ...common.network.placed import put
from ..batches import Batch
from ..model import Seen
from . import atlas
from .patches import MERGE, table

RUN = 256  # patches that are nobody's stand in runs of so many
Drawer = Callable[..., Tensor]


class Renderer:
    """It holds the forms of things and the places of patches, and how attention is computed."""

    def __init__(self, textures: Tensor, side: int, patches: int, attend: Attend) -> None:
        self.textures, self.patches, self.attend = textures, patches, attend
        self.drawer: Drawer = atlas.draw
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
        return Seen(pixels, row, column, self._mix[place], self.attend(put(ends, device), longest, False))
