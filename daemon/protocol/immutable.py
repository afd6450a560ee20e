"""What every value that crosses between daemon and child has in common."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["llm", "vlm", "embedding", "reranker"]


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every value that crosses the border has in common: immutable, built by keyword."""
