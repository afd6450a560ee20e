"""API keys: only their digests are kept, and every one is compared however early one fits."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from sanic import Request


class Keys:
    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(_digest(key) for key in keys if key)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accept(self, presented: Iterable[str]) -> bool:
        """Whether any of the presented keys is one of ours."""
        found = False
        for key in presented:
            digest = _digest(key)
            for own in self._digests:
                found |= hmac.compare_digest(digest, own)
        return found


def presented(request: Request) -> list[str]:
    """The keys that a request shows, four at most."""
    keys = list(request.headers.getall("x-api-key", []))
    for value in request.headers.getall("authorization", []):
        scheme, _, key = value.partition(" ")
        if scheme.lower() == "bearer":
            keys.append(key.strip())
    return keys[:4]


def owner(request: Request) -> str:
    """Who shows these keys: what one of them keeps, no other can see. Who shows none is one, too."""
    digests = sorted(_digest(key) for key in presented(request))
    return b"".join(digests).hex()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
