"""The errors: what each status means, and each dialect's shape of them as a type."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from . import anthropic_answers, ollama_answers, openai_answers

MEANINGS: Mapping[int, str] = MappingProxyType(
    {
        400: "The request is wrong: the message says which field and why.",
        401: "A valid API key is needed.",
        403: "This caller may not do this: another machine, an unknown Host, or a web page of another origin.",
        404: "There is no such model, or no such endpoint.",
        408: "The body stopped arriving.",
        413: "The body is larger than `server.max_body_mb`.",
        415: "The body is compressed; it must be sent as it is.",
        429: "Another server, such as the hub, wants to be asked less often.",
        500: "The server failed, or the model's process ended; its log says more.",
        502: "The hub answered with an error.",
        503: "Not now: the queue is full, memory is short, the hub cannot be reached, or the server is shutting down.",
        504: "It took longer than `server.request_timeout_seconds`.",
        507: "The disk is full.",
    }
)
HEADERS: Mapping[int, tuple[str, ...]] = MappingProxyType({503: ("Retry-After",), 429: ("Retry-After",)})
"""That some statuses may have."""


TYPES: Mapping[str, type[msgspec.Struct]] = MappingProxyType(
    {"openai": openai_answers.Error, "ollama": ollama_answers.Error, "anthropic": anthropic_answers.Error}
)
"""By the dialect's name."""
