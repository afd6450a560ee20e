"""What reranking, the counting of tokens and the endpoints for operators answer, as types."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from .openai_answers import PromptUsage


class RankedDocument(msgspec.Struct):
    text: str


class RankedResult(msgspec.Struct):
    """`index` is the document's place in the request. `truncated`: query or document was cut."""

    index: int
    relevance_score: float
    document: RankedDocument | UnsetType = UNSET
    truncated: bool | UnsetType = UNSET


class Reranked(msgspec.Struct):
    """Best first."""

    model: str
    object: Literal["list"]
    results: list[RankedResult]
    usage: PromptUsage


class TotalTokens(msgspec.Struct):
    total_tokens: int


class TokenCount(msgspec.Struct):
    index: int
    object: Literal["token_count"]
    token_count: int
    tokens: list[int] | UnsetType = UNSET


class TokenCounts(msgspec.Struct):
    model: str
    object: Literal["list"]
    data: list[TokenCount]
    usage: TotalTokens


class DetokenizedText(msgspec.Struct):
    index: int
    object: Literal["text"]
    text: str


class DetokenizedTexts(msgspec.Struct):
    model: str
    object: Literal["list"]
    data: list[DetokenizedText]
    usage: TotalTokens


class Health(msgspec.Struct):
    status: Literal["ok"]


class QuarantinedModel(msgspec.Struct):
    """A model whose process ended too often; it is tried again after `until` (Unix time)."""

    model: str
    reason: str
    until: float | None


class Readiness(msgspec.Struct):
    status: Literal["ready", "degraded", "draining"]
    quarantined: list[QuarantinedModel] | UnsetType = UNSET
