"""The encoders that stand in this folder, by the model types of config.json. No MLX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ROBERTA = ("roberta", "xlm-roberta", "xlm_roberta", "camembert")
"""Their positions begin after the padding index."""
BERTS = ("bert", *ROBERTA)
MODERN = "modernbert"


def is_encoder(config: Mapping[str, Any]) -> bool:
    """Whether config.json describes one of them, rather than one of mlx-lm's decoders."""
    return config.get("model_type") in (*BERTS, MODERN)
