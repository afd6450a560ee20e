"""How people ask about a picture, read from wordings.toml: to train on, and for the evaluation alone."""

from __future__ import annotations

from ..common.data import beside
from ..common.phrases import Phrases

ASKS = {name: Phrases(**found) for name, found in beside(__file__).items()}
