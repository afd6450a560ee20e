"""Pictures that are the same everywhere, from NumPy's raw streams."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Squares of eight pixels in any colour, smooth enough that scaling it says something."""
    rows, columns = height // 8 + 1, width // 8 + 1
    bits = np.random.PCG64(seed).random_raw(rows * columns * 3)
    coarse = (bits >> np.uint64(56)).astype(np.uint8).reshape(rows, columns, 3)
    return coarse.repeat(8, 0).repeat(8, 1)[:height, :width]
