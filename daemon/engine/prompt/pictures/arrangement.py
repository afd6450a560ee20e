"""What stands for a picture in a prompt, and which arrays its vision tower reads: one function a family.

A function gets what Transformers' image processor gives for one picture, unnormalised. The texts are those of
Transformers' processors (`replace_image_token`), with every run of picture tokens written as a single one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..prompt_frames import SightData

Arrays = dict[str, NDArray[Any]]
SMALL = 512
"""Pixels a side at most of a picture that is to be looked at with little detail."""


@dataclass(frozen=True)
class Arrangement:
    """`text` takes the place of the template's own mark for a picture. Its i-th picture token stands for `runs[i]` of
    them. `arrays`: `pixels`, (parts, colours, …), and what else the tower needs. `grid`: rows and columns of the
    picture's tokens, for positions of several axes."""

    text: str
    runs: tuple[int, ...]
    arrays: Arrays
    grid: tuple[int, int] | None = None


@dataclass(frozen=True)
class Family:
    """`mark` None: the template writes the picture token itself. `few` are options of the image processor for little
    detail."""

    arrange: Callable[[Mapping[str, Any], SightData], Arrangement]
    mark: str | None = None
    few: Mapping[str, Any] = field(default_factory=dict)


def qwen(made: Mapping[str, Any], sight: SightData) -> Arrangement:
    """Patches in a grid, merged by squares. The frame stands twice in them, as in a film: one is enough here."""
    merge, patch = sight.facts["merge_size"], sight.facts["patch_size"]
    _, rows, columns = (int(size) for size in made["image_grid_thw"][0])
    patches = np.asarray(made["pixel_values"]).reshape(rows * columns, 3, -1, patch * patch)[:, :, 0]
    grid = rows // merge, columns // merge
    arrays = {"pixels": patches, "grid": np.array([[1, rows, columns]], np.int32)}
    return Arrangement(sight.token, (grid[0] * grid[1],), arrays, grid)


def gemma3(made: Mapping[str, Any], sight: SightData) -> Arrangement:
    """A fixed number of tokens for the whole and for each crop."""
    crops = int(np.asarray(made["num_crops"]).reshape(-1)[0]) if "num_crops" in made else 0
    whole = f"\n\n<start_of_image>{sight.token}<end_of_image>\n\n"
    text = whole
    if crops:
        others = " ".join([whole] * crops)
        text = f"Here is the original image {whole} and here are some crops to help you see better {others}"
    pixels = np.asarray(made["pixel_values"])
    return Arrangement(text, (sight.facts["image_seq_length"],) * (crops + 1), {"pixels": pixels})


def idefics3(made: Mapping[str, Any], sight: SightData) -> Arrangement:
    """Tiles row by row, then the whole."""
    rows, columns = (int(np.asarray(made[key]).reshape(-1)[0]) for key in ("rows", "cols"))
    fake = "<fake_token_around_image>"
    tiles = "".join(
        "".join(f"{fake}<row_{row + 1}_col_{column + 1}>{sight.token}" for column in range(columns)) + "\n"
        for row in range(rows)
    )
    text = f"{tiles}\n{fake}<global-img>{sight.token}{fake}" if tiles else f"{fake}<global-img>{sight.token}{fake}"
    pixels = np.asarray(made["pixel_values"])[0]
    return Arrangement(text, (sight.facts["image_seq_len"],) * (rows * columns + 1), {"pixels": pixels})


def llava(made: Mapping[str, Any], sight: SightData) -> Arrangement:
    pixels = np.asarray(made["pixel_values"])
    height, width = pixels.shape[-2:]
    count = (height // sight.facts["patch_size"]) * (width // sight.facts["patch_size"]) + sight.facts[
        "num_additional_image_tokens"
    ]
    return Arrangement(sight.token, (count - sight.facts["without_first"],), {"pixels": pixels})


def pixtral(made: Mapping[str, Any], sight: SightData) -> Arrangement:
    """Rows of patches, each with a break behind it; in Mistral 3 squares of patches are merged."""
    side = sight.facts["patch_size"] * sight.facts["spatial_merge_size"]
    height, width = (int(size) for size in made["image_sizes"][0])
    rows, columns = height // side, width // side
    text = f"{sight.token}[IMG_BREAK]" * (rows - 1) + f"{sight.token}[IMG_END]"
    pixels = np.asarray(made["pixel_values"])[:, :, :height, :width]
    arrays = {"pixels": pixels, "sizes": np.array([[height, width]], np.int32)}
    return Arrangement(text, (columns,) * rows, arrays)


def gemma4(made: Mapping[str, Any], sight: SightData) -> Arrangement:
    """Patches, without the padding behind them, each with its column and row."""
    patches, places = np.asarray(made["pixel_values"])[0], np.asarray(made["image_position_ids"])[0]
    real = places[:, 0] >= 0
    pixels = patches[real].reshape(int(real.sum()), -1, 3).transpose(0, 2, 1)
    text = f"{sight.words['begin']}{sight.token}{sight.words['end']}"
    count = int(np.asarray(made["num_soft_tokens_per_image"])[0])
    return Arrangement(text, (count,), {"pixels": pixels, "places": places[real].astype(np.int32)})


FAMILIES: dict[str, Family] = {
    "qwen": Family(qwen, few={"longest_edge": SMALL * SMALL}),
    "gemma3": Family(gemma3, mark="<start_of_image>"),
    "gemma4": Family(gemma4, few={"max_soft_tokens": 70}),
    "idefics3": Family(idefics3, few={"do_image_splitting": False}),
    "llava": Family(llava),
    "pixtral": Family(pixtral, few={"longest_edge": SMALL}),
}
