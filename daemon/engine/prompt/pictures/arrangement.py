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
    """`mark` None: the template writes the picture token itself. `facts` are the names of what `arrange` must know of
    the processor or the config. `few` are options of the image processor for little detail."""

    arrange: Callable[[Mapping[str, Any], str, Mapping[str, int]], Arrangement]
    mark: str | None = None
    few: Mapping[str, Any] = field(default_factory=dict)


def qwen(made: Mapping[str, Any], token: str, facts: Mapping[str, int]) -> Arrangement:
    """Patches in a grid, merged by squares. The frame stands twice in them, as in a film: one is enough here."""
    merge, patch = facts["merge_size"], facts["patch_size"]
    _, rows, columns = (int(size) for size in made["image_grid_thw"][0])
    patches = np.asarray(made["pixel_values"]).reshape(rows * columns, 3, -1, patch * patch)[:, :, 0]
    grid = rows // merge, columns // merge
    arrays = {"pixels": patches, "grid": np.array([[1, rows, columns]], np.int32)}
    return Arrangement(token, (grid[0] * grid[1],), arrays, grid)


def gemma3(made: Mapping[str, Any], token: str, facts: Mapping[str, int]) -> Arrangement:
    """A fixed number of tokens for the whole and for each crop."""
    crops = int(np.asarray(made["num_crops"]).reshape(-1)[0]) if "num_crops" in made else 0
    whole = f"\n\n<start_of_image>{token}<end_of_image>\n\n"
    text = whole
    if crops:
        others = " ".join([whole] * crops)
        text = f"Here is the original image {whole} and here are some crops to help you see better {others}"
    pixels = np.asarray(made["pixel_values"])
    return Arrangement(text, (facts["image_seq_length"],) * (crops + 1), {"pixels": pixels})


def idefics3(made: Mapping[str, Any], token: str, facts: Mapping[str, int]) -> Arrangement:
    """Tiles row by row, then the whole."""
    rows, columns = (int(np.asarray(made[key]).reshape(-1)[0]) for key in ("rows", "cols"))
    fake = "<fake_token_around_image>"
    tiles = "".join(
        "".join(f"{fake}<row_{row + 1}_col_{column + 1}>{token}" for column in range(columns)) + "\n"
        for row in range(rows)
    )
    text = f"{tiles}\n{fake}<global-img>{token}{fake}" if tiles else f"{fake}<global-img>{token}{fake}"
    pixels = np.asarray(made["pixel_values"])[0]
    return Arrangement(text, (facts["image_seq_len"],) * (rows * columns + 1), {"pixels": pixels})


def llava(made: Mapping[str, Any], token: str, facts: Mapping[str, int]) -> Arrangement:
    pixels = np.asarray(made["pixel_values"])
    height, width = pixels.shape[-2:]
    count = (height // facts["patch_size"]) * (width // facts["patch_size"]) + facts["num_additional_image_tokens"]
    return Arrangement(token, (count - facts["without_first"],), {"pixels": pixels})


def pixtral(made: Mapping[str, Any], token: str, facts: Mapping[str, int]) -> Arrangement:
    """Rows of patches, each with a break behind it; in Mistral 3 squares of patches are merged."""
    side = facts["patch_size"] * facts["spatial_merge_size"]
    height, width = (int(size) for size in made["image_sizes"][0])
    rows, columns = height // side, width // side
    text = f"{token}[IMG_BREAK]" * (rows - 1) + f"{token}[IMG_END]"
    pixels = np.asarray(made["pixel_values"])[:, :, :height, :width]
    arrays = {"pixels": pixels, "sizes": np.array([[height, width]], np.int32)}
    return Arrangement(text, (columns,) * rows, arrays)


FAMILIES: dict[str, Family] = {
    "qwen": Family(qwen, few={"longest_edge": SMALL * SMALL}),
    "gemma3": Family(gemma3, mark="<start_of_image>"),
    "idefics3": Family(idefics3, few={"do_image_splitting": False}),
    "llava": Family(llava),
    "pixtral": Family(pixtral, few={"longest_edge": SMALL}),
}
