"""What starter-vl is asked when its logits are compared: pictures made by integer arithmetic, and questions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MODEL = Path(__file__).parents[2] / "store" / "builtins" / "starter-vl"
PATCH, MERGE = 16, 2
Picture = NDArray[np.uint8]


def disc(height: int, width: int, colour: tuple[int, int, int]) -> Picture:
    """On white, left of the middle; in a size that no processor changes."""
    y, x = np.mgrid[:height, :width]
    inside = (x - width // 3) ** 2 + (y - height // 2) ** 2 < (height // 5) ** 2
    return np.where(inside[..., None], np.array(colour), 255).astype(np.uint8)


def bars(height: int, width: int) -> Picture:
    """Two rectangles on a slope of grey."""
    picture = np.repeat(np.arange(width) * 60 // width + 180, 3).reshape(1, width, 3).repeat(height, 0)
    picture[height // 4 : height // 2, width // 8 : width // 3] = (20, 60, 200)
    picture[height // 2 : 3 * height // 4, width // 2 : 7 * width // 8] = (220, 30, 30)
    return picture.astype(np.uint8)


# The pictures stand before the question.
CASES: dict[str, tuple[list[Picture], str]] = {
    "disc": ([disc(160, 160, (220, 20, 20))], "Which shape is this?"),
    "bars": ([bars(160, 224)], "How many shapes are there?"),
    "two": ([disc(192, 160, (30, 120, 220)), bars(128, 256)], "Describe the second picture."),
    "none": ([], "Who are you?"),
}


def prompt(pictures: int, question: str) -> str:
    """As the model's chat template writes it."""
    marks = "<|vision_start|><|image_pad|><|vision_end|>" * pictures
    return f"<|im_start|>user\n{marks}{question}<|im_end|>\n<|im_start|>assistant\n"


def patches(picture: Picture) -> NDArray[np.float32]:
    """Qwen's processor by its definition: blocks of 2 x 2 patches, each colour by colour, the frame twice."""
    rows, columns = picture.shape[0] // PATCH, picture.shape[1] // PATCH
    values = picture.astype(np.float32) / 255 * 2 - 1
    parts = values.reshape(rows // MERGE, MERGE, PATCH, columns // MERGE, MERGE, PATCH, 3)
    flat = parts.transpose(0, 3, 1, 4, 6, 2, 5).reshape(rows * columns, 3, 1, PATCH * PATCH)
    return np.repeat(flat, 2, 2).reshape(rows * columns, -1)
