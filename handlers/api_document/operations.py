"""What the document says of every endpoint, in one table. A new route needs its row here, and a test says so."""

from __future__ import annotations

from collections.abc import Mapping

from . import anthropic_operations, ollama_operations, openai_operations, other_operations, responses_operations
from .operation import Operation

OPERATIONS: Mapping[str, Operation] = {
    **openai_operations.OPERATIONS,
    **responses_operations.OPERATIONS,
    **anthropic_operations.OPERATIONS,
    **ollama_operations.OPERATIONS,
    **other_operations.OPERATIONS,
}
"""By the endpoint's path as the document writes it: `/v1/models/{id}`."""
