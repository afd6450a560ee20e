"""MLX's Module, which says nothing of types, in one place."""

from __future__ import annotations

import mlx.nn as nn


class Module(nn.Module):  # type: ignore[misc]
    """What the networks here are made of."""
